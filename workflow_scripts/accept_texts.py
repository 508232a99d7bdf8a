"""The drafts of people and events that reviewers let pass."""

from mmunlearn.curation.acceptance import accept_texts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    accept_texts(**it.input, **it.output, **it.params, verdicts=it.verdicts)
