"""The tasks of a rendered world, in the released format."""

from mmunlearn.lifelong.draw import draw_tasks
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_tasks(it.output[0], **it.params)
