"""What the filters refuse, compared with what people and the planted truth refuse."""

from mmunlearn.review.agreement import compare_filters
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    compare_filters(**it.input, **it.output, **it.params)
