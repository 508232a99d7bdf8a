"""The Real, World or replay set."""

from mmunlearn.dataset.reference_sets import build_reference_set
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    build_reference_set(
        it.output[0],
        name=it.wildcards["set"],
        source=it.params["source"],
        options={**it.params["options"], "device": it.device},
        n=it.params["n"],
        seed=it.params["seed"],
        questions=it.params["questions"],
        answers=it.params["answers"],
        size=it.params["size"],
        events=it.input.events,
        work=it.work,
    )
