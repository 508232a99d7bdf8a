"""What one recipe says to every question of the suites, or several of one base model."""

from mmunlearn.evaluation.answers import answer_questions
from mmunlearn.evaluation.sampling import Sample
from mmunlearn.models.loading import ModelSpec
from mmunlearn.workflow import job

with job(snakemake) as it:
    answer_questions(
        dict(zip(it.params.suites, it.input.questions, strict=True)),
        dict(zip(it.params.suites, it.input.features, strict=True)),
        [path.parent for path in it.input.adapters],
        list(it.output),
        spec=ModelSpec(**it.params.spec),
        batch=it.config["evaluation"]["batch"],
        max_new_tokens=it.params.max_new_tokens,
        work=it.work,
        version=it.params.version,
        sample=Sample(**it.params.sample) if it.params.sample else None,
        splits=it.input.splits,
    )
