"""Forget quality and utility over the tasks."""

from mmunlearn.reporting.lifelong_utility import plot_lifelong_utility
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_lifelong_utility(**it.output, **it.input, **it.params)
