"""Pairs of scenes and reviewers' verdicts: the last word on every candidate."""

from mmunlearn.synthesis.settle import settle_pictures
from mmunlearn.synthesis.studio import PictureSettings
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    settle_pictures(
        it.input.shards,
        it.input.scenes,
        it.input.prompts,
        it.input.references,
        it.verdicts,
        it.output[0],
        settings=PictureSettings(**it.params["pictures"], device=it.device),
        thresholds=it.params["thresholds"],
        person_reference=it.params["person_reference"],
        batch=it.params["batch"],
        candidates=it.params["candidates"],
        work=it.work,
    )
