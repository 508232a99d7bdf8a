"""The drift of every method, beside the published one."""

from mmunlearn.reporting.lifelong_drift import make_representation_drift
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_representation_drift(**it.output, **it.input, **it.params)
