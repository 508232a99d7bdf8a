"""Two questions on every valid picture."""

from mmunlearn.dataset.questions import build_questions
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    build_questions(it.output[0], **it.input, **it.params)
