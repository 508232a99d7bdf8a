"""An expert for each task."""

from mmunlearn.lifelong.experts import train_experts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    train_experts(
        it.output, it.wildcards["model"], int(it.wildcards["seed"]), **it.input, **it.params, **it.trainer
    )
