"""Every attack on one model."""

from mmunlearn.robustness.attack import attack_model
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    attack_model(it.output, it.run, it.input, **it.params, batch=it.batch, work=it.work, version=it.version)
