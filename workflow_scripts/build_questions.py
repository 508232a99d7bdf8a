"""Two questions on every valid picture."""

from mmunlearn.dataset.questions import build_questions
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    build_questions(
        it.input.manifest,
        it.input.people,
        it.input.events,
        it.output[0],
        questions=it.params["questions"],
        answers=it.params["answers"],
    )
