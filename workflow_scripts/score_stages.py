"""The scores of one sequence: task X after task Y."""

from mmunlearn.lifelong.scores import score_stages
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    score_stages(it.output[0], it.sequence, **it.input, **it.params)
