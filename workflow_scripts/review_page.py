"""The page on which people judge the pictures of a block of people."""

from mmunlearn.review.page import write_picture_page
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_picture_page(it.output[0], **it.input, **it.params, **it.wildcards)
