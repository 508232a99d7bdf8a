"""The six metrics of one recipe on one split."""

from mmunlearn.evaluation.sampling import Sample
from mmunlearn.evaluation.scoring import score_answers
from mmunlearn.workflow import job

with job(snakemake) as it:
    score_answers(
        it.output[0],
        answers=dict(zip(it.params.suites, it.input.answers, strict=True)),
        finetuned=it.input.finetuned,
        split=it.input.split,
        people=it.input.people,
        real=it.input.real,
        world=it.input.world,
        judgements=it.input.judgements or None,
        model=snakemake.wildcards.model,
        recipe=snakemake.wildcards.recipe,
        label=it.params.label,
        seed=int(snakemake.wildcards.seed),
        judge=it.params.judge,
        bootstrap=it.params.bootstrap,
        max_missing_share=it.params.max_missing_share,
        sample=Sample(**it.params.sample) if it.params.sample else None,
    )
