"""Task X after task Y, a panel a method."""

from mmunlearn.reporting.lifelong_matrix import plot_lifelong_matrix
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_lifelong_matrix(**it.output, **it.input, **it.params)
