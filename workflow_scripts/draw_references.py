"""Scene references of every event."""

from mmunlearn.synthesis.event_references import draw_references
from mmunlearn.synthesis.studio import PictureSettings
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_references(
        it.input.prompts,
        it.output[0],
        settings=PictureSettings(**it.params["pictures"], device=it.device),
        references_per_event=it.params["references_per_event"],
        work=it.work,
    )
