"""One method's models after each task of an order."""

from mmunlearn.lifelong.stages import unlearn_tasks
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    unlearn_tasks(it.output, it.sequence, **it.input, **it.params, **it.trainer)
