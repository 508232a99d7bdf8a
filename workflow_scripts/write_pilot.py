"""What the first shard says of all pictures."""

from mmunlearn.workflow.job import job
from mmunlearn.workflow.pilot import write_pilot

with job(snakemake) as it:
    write_pilot(**it.output, **it.input, **it.params, config=it.config, work=it.work)
