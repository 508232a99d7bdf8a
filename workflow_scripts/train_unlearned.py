"""An unlearned model, from the finetuned adapter."""

from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.recipes import TrainingJob, train_unlearned
from mmunlearn.workflow import job

with job(snakemake) as it:
    train_unlearned(
        TrainingJob(
            model=snakemake.wildcards.model,
            recipe=f"{snakemake.wildcards.method}-{snakemake.wildcards.split}",
            seed=int(snakemake.wildcards.seed),
            spec=ModelSpec(**it.params.spec),
            features=[it.input.features],
            output=it.output.training,
            work=it.work,
            version=it.params.version,
        ),
        questions=it.input.questions,
        split=it.input.split,
        refusals=it.input.refusals,
        finetuned=it.input.finetuned.parent,
        method=snakemake.wildcards.method,
        options=it.params.options,
        settings={**it.params.optimisation, "learning_rate": it.params.learning_rate},
        max_steps=it.params.max_steps,
        stopping=it.params.stopping,
    )
