"""The finetuned model, or a goal model where the rule gives a split."""

from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.recipes import TrainingJob, train_finetuned
from mmunlearn.workflow import job

with job(snakemake) as it:
    train_finetuned(
        TrainingJob(
            model=snakemake.wildcards.model,
            recipe=it.params.recipe,
            seed=int(snakemake.wildcards.seed),
            spec=ModelSpec(**it.params.spec),
            features=it.input.features,
            output=it.output.training,
            work=it.work,
            version=it.params.version,
        ),
        questions=it.input.questions,
        replay=it.input.replay,
        split=it.input.get("split"),
        lora=it.params.lora,
        settings={**it.params.optimisation, "learning_rate": it.params.learning_rate},
        epochs=it.params.epochs,
    )
