"""The data set in Hugging Face's form, with its data card."""

from mmunlearn.dataset.export import export_dataset
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    export_dataset(**it.input, **it.output, **it.params)
