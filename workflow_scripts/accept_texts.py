"""The drafts of people and events that reviewers let pass."""

from mmunlearn.config import verdict_files
from mmunlearn.curation.acceptance import accept_texts
from mmunlearn.workflow import job

with job(snakemake) as it:
    accept_texts(
        it.input.people,
        it.input.events,
        verdict_files(it.config["review"]["verdicts"]),
        it.output.people,
        it.output.events,
        reviewers=it.params.reviewers,
    )
