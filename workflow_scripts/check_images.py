"""What the filters did, and whether enough pictures are valid."""

from mmunlearn.reporting.filter_statistics import check_images
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    check_images(**it.input, output=it.output[0], **it.params)
