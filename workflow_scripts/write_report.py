"""The self-contained report."""

from mmunlearn.reporting.page import write_report
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_report(**it.input, **it.output, **it.params)
