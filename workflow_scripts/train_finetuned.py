"""The finetuned model, or a goal model where the rule gives splits."""

from pathlib import Path

from mmunlearn.config import checkpoints, machine
from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.launch import launch
from mmunlearn.training.recipes import Machine, TrainingJob, train_finetuned
from mmunlearn.workflow import job

with job(snakemake) as it:
    given = {
        "job": TrainingJob(
            model=snakemake.wildcards.model, recipe=it.params.recipe, seed=int(snakemake.wildcards.seed),
            spec=ModelSpec(**it.params.spec, lora_targets=it.params.lora_targets), features=it.input.features,
            output=it.output.training, work=it.work, version=it.params.version,
            logs=Path(snakemake.log[0]).with_suffix(""),
        ),
        "questions": it.input.questions,
        "replay": it.input.replay,
        "splits": it.input.splits,
        "lora": it.params.lora,
        "settings": {
            **it.params.optimisation,
            "learning_rate": it.params.learning_rate,
            **checkpoints(it.config),
        },
        "epochs": it.params.epochs,
        "machine": Machine(precision=it.params.precision, **machine(it.config)),
    }  # fmt: skip
    launch(train_finetuned, given, it.work)
