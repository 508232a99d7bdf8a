"""Professions, regions, ages and genders of the people, and the words of the events."""

from mmunlearn.reporting.figure4 import plot_figure4
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    plot_figure4(**it.input, **it.output, **it.params)
