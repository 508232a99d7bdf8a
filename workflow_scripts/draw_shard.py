"""A block of people, drawn until every picture is valid."""

from mmunlearn.synthesis.shards import draw_shard
from mmunlearn.synthesis.studio import PictureSettings
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_shard(
        it.input.prompts,
        it.input.references,
        it.output.candidates,
        it.output.scenes,
        shard=int(it.wildcards["shard"]),
        people_per_shard=it.params["people_per_shard"],
        settings=PictureSettings(**it.params["pictures"], device=it.device),
        thresholds=it.params["thresholds"],
        person_reference=it.params["person_reference"],
        batch=it.params["batch"],
        max_attempts=it.params["max_attempts"],
        work=it.work,
    )
