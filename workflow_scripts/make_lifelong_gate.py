"""Where gates send pictures."""

from mmunlearn.reporting.lifelong_gate import make_lifelong_gate
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_lifelong_gate(**it.output, **it.input, **it.params)
