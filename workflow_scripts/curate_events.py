"""Events from the curation backend."""

from mmunlearn.curation.curate import curate_events
from mmunlearn.workflow import job

with job(snakemake) as it:
    curate_events(
        it.output[0],
        curator=it.params.curator,
        people=it.params.people,
        events=it.input.events,
        n=it.params.n,
    )
