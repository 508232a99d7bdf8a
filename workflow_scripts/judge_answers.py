"""G-Eval of one run on the forget set of an event split."""

from mmunlearn.evaluation.judge.judge_answers import judge_answers
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    judge_answers(it.output[0], **it.input, **it.params, options=it.judge)
