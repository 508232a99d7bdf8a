"""The pocket world's scorers, from nothing."""

from mmunlearn.pocket.scorer_training import train_scorers
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    train_scorers(it.output[0].parent, it.params["seed"], threads=it.threads)
