"""G-Eval of one recipe on the forget set of an event split."""

from mmunlearn.evaluation.judge.judge_answers import judge_answers
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    judge_answers(
        it.input.answers,
        it.input.finetuned,
        it.input.goal,
        it.input.split,
        it.output[0],
        judge=it.params["judge"],
        options=it.config["evaluation"].get(it.params["judge"]),
    )
