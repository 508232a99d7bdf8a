"""Pictures of the forgotten that no model has trained on."""

from mmunlearn.robustness.unseen import draw_unseen
from mmunlearn.synthesis.studio import PictureSettings
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    draw_unseen(
        it.input.manifest,
        it.input.prompts,
        it.input.references,
        it.input.questions,
        it.input.split,
        it.output[0],
        n=it.params["n"],
        seed=it.params["seed"],
        settings=PictureSettings(**it.params["pictures"], device=it.device),
        thresholds=it.params["thresholds"],
        person_reference=it.params["person_reference"],
        batch=it.params["batch"],
        max_attempts=it.params["max_attempts"],
        work=it.work,
    )
