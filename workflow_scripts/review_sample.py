"""The page on which people judge a random sample of all candidates."""

from mmunlearn.review.page import write_sample_page
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_sample_page(it.output[0], **it.input, **it.params)
