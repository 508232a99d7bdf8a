"""What one run says to every question of the suites, or several of one base model."""

from mmunlearn.evaluation.answers import answer_questions
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    answer_questions(
        **it.input,
        outputs=it.output.paths,
        **it.params,
        batch=it.batch,
        work=it.work,
        version=it.version,
    )
