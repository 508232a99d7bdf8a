"""The page on which people judge the drafted texts."""

from mmunlearn.review.page import write_text_page
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_text_page(it.output[0], **it.input)
