"""What experts behind a gate say after each task of an order."""

from mmunlearn.lifelong.lumoe import answer_experts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    answer_experts(it.output, **it.input, **it.params, batch=it.batch, work=it.work, version=it.version)
