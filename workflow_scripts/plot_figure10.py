"""World Fact by what is unlearned."""

from mmunlearn.reporting.figure10 import plot_figure10
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_figure10(**it.input, **it.output, **it.params)
