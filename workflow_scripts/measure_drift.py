"""How far picture and text tokens of one sequence have drifted."""

from mmunlearn.lifelong.drift import measure_drift
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    measure_drift(it.output[0], it.sequence, **it.input, **it.params, batch=it.batch, work=it.work)
