"""The merged configuration of this run."""

from mmunlearn.workflow.job import job

with job(snakemake) as it:
    it.write_config(it.output[0])
