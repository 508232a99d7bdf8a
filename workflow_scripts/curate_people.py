"""Drafts of people from the curation backend."""

from mmunlearn.config import verdict_files
from mmunlearn.curation.curate import curate_people
from mmunlearn.workflow import job

with job(snakemake) as it:
    curate_people(
        it.output[0],
        curator=it.params.curator,
        options=it.config["curation"][it.params.curator],
        n=it.params.n,
        seed=it.params.seed,
        verdicts=verdict_files(it.config["review"]["verdicts"]),
        work=it.work,
    )
