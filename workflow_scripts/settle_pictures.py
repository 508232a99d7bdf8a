"""Pairs of scenes and reviewers' verdicts: the last word on every candidate."""

from mmunlearn.synthesis.settle import settle_pictures
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    settle_pictures(
        it.output[0], **it.input, **it.params, verdicts=it.verdicts, device=it.device, work=it.work
    )
