"""Table III or IV, its ceiling and its comparison with the published one."""

from mmunlearn.reporting.tables import make_table
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_table(**it.input, **it.output, **it.params)
