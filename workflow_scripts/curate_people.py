"""Drafts of people, or of events, from the curation backend."""

from mmunlearn.curation.curate import curate
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    curate(it.output[0], **it.params, options=it.curator, verdicts=it.verdicts, work=it.work)
