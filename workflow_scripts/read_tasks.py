"""All questions of the tasks and of entities that no task names, with their pictures."""

from mmunlearn.lifelong.task_set import read_tasks
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    read_tasks(it.output[0], it.output[1], **it.input, **it.params)
