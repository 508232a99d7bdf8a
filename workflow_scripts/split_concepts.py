"""Forget and retain sets of one target and percent."""

from mmunlearn.dataset.splits import split_concepts
from mmunlearn.ids import parse_split
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    target, percent = parse_split(it.wildcards["split"])
    split_concepts(it.input.manifest, it.output[0], target=target, percent=percent, seed=it.params["seed"])
