"""What a base says before it unlearns."""

from mmunlearn.lifelong.answers import answer_before
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    answer_before(it.output[0], **it.input, **it.params, batch=it.batch, work=it.work, version=it.version)
