"""The six metrics of one run on one split."""

from mmunlearn.evaluation.scoring import score_answers
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    score_answers(it.output[0], it.run, **it.input, **it.params)
