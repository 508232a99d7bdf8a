"""Table III, its ceiling and its comparison with the published one."""

from mmunlearn.reporting.tables import make_table3
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_table3(
        it.input.scores,
        it.output.csv,
        it.output.md,
        it.output.tex,
        it.output.ceiling,
        it.output.versus,
        published=it.input.published,
        ceiling_seed=it.params["ceiling_seed"],
    )
