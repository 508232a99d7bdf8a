"""What the pocket base model knows of every entity."""

from mmunlearn.pocket.known import measure_known
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    measure_known(it.output[0], it.input[0].parent)
