"""People from the curation backend."""

from mmunlearn.curation.curate import curate_people
from mmunlearn.workflow import job

with job(snakemake) as it:
    curate_people(
        it.output[0],
        curator=it.params.curator,
        people=it.input.people,
        events=it.params.events,
        n=it.params.n,
    )
