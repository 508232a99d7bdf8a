"""What the filters refuse, compared with what people and the planted truth refuse."""

from mmunlearn.review.agreement import compare_filters
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    compare_filters(
        it.input.manifest,
        it.input.verdicts,
        it.input.truth or None,
        it.output.csv,
        it.output.md,
        it.output.page,
        share=it.params["share"],
        seed=it.params["seed"],
        reviewers=it.params["reviewers"],
    )
