"""One image prompt for every person at every event."""

from mmunlearn.curation.prompts import write_prompts
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    write_prompts(it.output[0], **it.input)
