"""What one recipe says to every question of the suites."""

from mmunlearn.evaluation.answers import answer_questions
from mmunlearn.evaluation.sampling import Sample
from mmunlearn.models.loading import ModelSpec
from mmunlearn.workflow import job

with job(snakemake) as it:
    suites = it.params.suites
    answer_questions(
        dict(zip(suites, it.input.questions, strict=True)),
        dict(zip(suites, it.input.features, strict=True)),
        dict(zip(suites, it.output, strict=True)),
        adapter=it.input.adapter.parent,
        spec=ModelSpec(**it.params.spec),
        batch=it.params.batch,
        max_new_tokens=it.params.max_new_tokens,
        sample=Sample(**it.params.sample) if it.params.sample else None,
        splits=it.input.splits,
    )
