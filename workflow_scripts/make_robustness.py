"""The attacks' findings as a table."""

from mmunlearn.reporting.robustness import make_robustness
from mmunlearn.workflow import job

with job(snakemake) as it:
    make_robustness(list(it.input), it.output.csv, it.output.md)
