"""What the filters did, and whether enough pictures are valid."""

from mmunlearn.reporting.filter_statistics import filter_statistics
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    filter_statistics(
        it.input.manifest,
        it.input.truth or None,
        it.output[0],
        min_accepted_share=it.params["min_accepted_share"],
    )
