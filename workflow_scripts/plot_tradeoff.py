"""Forget quality against utility."""

from mmunlearn.reporting.tradeoff import plot_tradeoff
from mmunlearn.workflow import job

with job(snakemake) as it:
    plot_tradeoff(it.input[0], it.output.png, it.output.pdf)
