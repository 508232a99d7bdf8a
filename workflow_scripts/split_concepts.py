"""Forget and retain sets of one target and percent."""

from mmunlearn.dataset.splits import split_concepts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    split_concepts(it.output[0], **it.input, **it.params, **it.wildcards)
