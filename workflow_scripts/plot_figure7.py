"""The six metrics over the steps of unlearning."""

from mmunlearn.reporting.figure7 import plot_figure7
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_figure7(**it.input, **it.output, **it.params)
