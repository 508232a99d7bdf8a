"""What one method's models say after each task of an order."""

from mmunlearn.lifelong.answers import answer_stages
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    answer_stages(it.output.paths, **it.input, **it.params, batch=it.batch, work=it.work, version=it.version)
