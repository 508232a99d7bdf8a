"""Each concept unlearned alone, every concept tested, with answers."""

from mmunlearn.reporting.figure9 import plot_figure9
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_figure9(**it.input, **it.output, **it.params)
