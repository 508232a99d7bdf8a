"""Forget quality against utility."""

from mmunlearn.reporting.figure8 import plot_figure8
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_figure8(**it.input, **it.output, **it.params)
