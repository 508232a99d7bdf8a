"""Prints what the first shard says of all pictures: without an output, the rule runs whenever it is asked for."""

from mmunlearn.workflow.job import job

with job(snakemake) as it:
    print(it.input[0].read_text(encoding="utf-8"))
