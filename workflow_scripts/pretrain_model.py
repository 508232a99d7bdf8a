"""The pocket base model, from nothing."""

from mmunlearn.pocket.pretraining import pretrain, read_settings
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    pretrain(it.output[0].parent, read_settings(it.params["settings"]), it.threads)
