"""The weights of one name, checked and recorded."""

from mmunlearn.weights.fetch import fetch_weights
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    fetch_weights(it.output[0], name=it.wildcards["weights"], **it.params, **it.weights)
