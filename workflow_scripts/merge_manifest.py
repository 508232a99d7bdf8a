"""The manifest of all candidates, and the kept pictures beside it."""

from mmunlearn.synthesis.manifest import merge_manifest
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    merge_manifest(
        it.input.settled,
        it.input.shards,
        it.verdicts,
        it.output[0],
        images=it.output[0].parent,
        reviewers=it.params["reviewers"],
    )
