"""The manifest of all candidates, and the kept pictures beside it."""

from mmunlearn.synthesis.manifest import merge_manifest
from mmunlearn.workflow import job

with job(snakemake) as it:
    merge_manifest(it.input, it.output[0], images=it.output[0].parent)
