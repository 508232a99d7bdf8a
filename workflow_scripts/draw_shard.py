"""A block of people, drawn until every picture is valid."""

from mmunlearn.synthesis.shards import draw_shard
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    shard, place = int(it.wildcards["shard"]), {"device": it.device, "work": it.work}
    draw_shard(**it.output, **it.input, **it.params, **place, shard=shard, stop_below=it.stop_below)
