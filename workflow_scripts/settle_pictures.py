"""Pairs of scenes and reviewers' verdicts: the last word on every candidate."""

from mmunlearn.synthesis.settle import settle_pictures
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    place = {"device": it.device, "work": it.work}
    settle_pictures(
        it.output[0], **it.input, **it.params, **place, verdicts=it.verdicts, stop_below=it.stop_below
    )
