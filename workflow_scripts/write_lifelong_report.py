"""The lifelong phase's own page, of a run without PEBench."""

from mmunlearn.reporting.lifelong_page import write_lifelong_report
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_lifelong_report(**it.input, **it.output, **it.params)
