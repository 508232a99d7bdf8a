"""The merged configuration of this run."""

from mmunlearn.workflow.job import job
from mmunlearn.workflow.run_config import write_run_config

with job(snakemake) as it:
    write_run_config(it.output[0], it.config)
