"""The Real, World or replay set."""

from mmunlearn.dataset.reference_sets import build_reference_set
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    build_reference_set(
        it.output[0], **it.input, **it.params, name=it.wildcards["set"], device=it.device, work=it.work
    )
