"""The attacks' findings as a table."""

from mmunlearn.reporting.robustness import make_robustness
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_robustness(**it.input, **it.output, **it.params)
