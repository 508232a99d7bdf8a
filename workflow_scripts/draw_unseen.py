"""Pictures of the forgotten that no model has trained on."""

from mmunlearn.robustness.unseen import draw_unseen
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_unseen(it.output[0], **it.input, **it.params, device=it.device, work=it.work)
