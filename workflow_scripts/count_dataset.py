"""What the data set holds, counted."""

from mmunlearn.dataset.statistics import count_dataset
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    count_dataset(it.output[0], **it.input)
