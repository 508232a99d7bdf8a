"""Tables 2 and 23, and what stands beside them."""

from mmunlearn.reporting.lifelong_tables import make_mlubench
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    make_mlubench(it.output, **it.input, **it.params)
