"""Drafts of events from the curation backend."""

from mmunlearn.curation.curate import curate_events
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    curate_events(
        it.output[0],
        curator=it.params["curator"],
        options=it.config["curation"][it.params["curator"]],
        n=it.params["n"],
        seed=it.params["seed"],
        verdicts=it.verdicts,
        work=it.work,
    )
