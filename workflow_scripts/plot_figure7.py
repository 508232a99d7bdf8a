"""The six metrics over the steps of unlearning."""

from mmunlearn.reporting.figure7 import plot_figure7
from mmunlearn.workflow import job

with job(snakemake) as it:
    plot_figure7(it.input.scores, it.input.ends, it.input.trainings, it.output.png, it.output.pdf)
