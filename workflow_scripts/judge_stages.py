"""Ratings of one sequence's answers by one rubric."""

from mmunlearn.lifelong.judging import judge_stages
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    judge_stages(it.output.paths, **it.input, **it.params, options=it.judge)
