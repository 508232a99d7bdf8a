"""Entities, classes and questions of every task."""

from mmunlearn.reporting.lifelong_data import plot_lifelong_data
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_lifelong_data(**it.input, **it.output)
