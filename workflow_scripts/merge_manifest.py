"""The manifest of all candidates, and one picture a cell beside it."""

from mmunlearn.synthesis.manifest import merge_manifest
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    merge_manifest(it.output[0], **it.input, **it.params, verdicts=it.verdicts)
