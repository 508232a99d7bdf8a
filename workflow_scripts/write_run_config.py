"""The merged configuration of this run."""

import yaml

from mmunlearn.records import write_text
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_text(it.output[0], yaml.safe_dump(it.params["config"], sort_keys=False, allow_unicode=True))
