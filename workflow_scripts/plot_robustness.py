"""The attacks' findings as a figure."""

from mmunlearn.reporting.robustness_figure import plot_robustness
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_robustness(**it.input, **it.output, **it.params)
