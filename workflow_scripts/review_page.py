"""The page on which people judge the pictures of a block of people."""

from mmunlearn.review.page import write_picture_page
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_picture_page(
        it.output[0],
        manifest=it.input.manifest,
        people=it.input.people,
        events=it.input.events,
        shard=int(it.wildcards["shard"]),
        people_per_shard=it.params["people_per_shard"],
        shards=it.params["shards"],
    )
