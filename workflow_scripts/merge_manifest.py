"""The manifest of all candidates, and the kept pictures beside it."""

from mmunlearn.config import verdict_files
from mmunlearn.synthesis.manifest import merge_manifest
from mmunlearn.workflow import job

with job(snakemake) as it:
    merge_manifest(
        it.input.settled,
        it.input.shards,
        verdict_files(it.config["review"]["verdicts"]),
        it.output[0],
        images=it.output[0].parent,
        reviewers=it.params.reviewers,
    )
