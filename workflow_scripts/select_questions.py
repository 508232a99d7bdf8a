"""The questions that a base answers before it unlearns."""

from mmunlearn.lifelong.task_set import select_questions
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    select_questions(it.output[0], it.output[1], **it.input, **it.params)
