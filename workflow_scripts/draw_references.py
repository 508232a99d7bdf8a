"""Scene references of every event."""

from mmunlearn.synthesis.event_references import draw_references
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_references(it.output[0], **it.input, **it.params, device=it.device, work=it.work)
