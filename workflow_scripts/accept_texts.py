"""The drafts of people and events that reviewers let pass."""

from mmunlearn.curation.acceptance import accept_texts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    accept_texts(
        it.input.people,
        it.input.events,
        it.verdicts,
        it.output.people,
        it.output.events,
        reviewers=it.params["reviewers"],
    )
