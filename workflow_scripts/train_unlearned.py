"""An unlearned model, from the finetuned adapter."""

from pathlib import Path

from mmunlearn.config import checkpoints, machine
from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.launch import launch
from mmunlearn.training.recipes import Machine, TrainingJob, train_unlearned
from mmunlearn.workflow import job

with job(snakemake) as it:
    given = {
        "job": TrainingJob(
            model=snakemake.wildcards.model, recipe=it.params.recipe, seed=int(snakemake.wildcards.seed),
            spec=ModelSpec(**it.params.spec), features=[it.input.features], output=it.output.training,
            work=it.work, version=it.params.version, logs=Path(snakemake.log[0]).with_suffix(""),
        ),
        "questions": it.input.questions,
        "splits": it.input.splits,
        "concept": it.params.concept,
        "refusals": it.input.refusals,
        "finetuned": it.input.finetuned.parent,
        "method": snakemake.wildcards.method,
        "options": it.params.options,
        "settings": {**it.params.optimisation, "learning_rate": it.params.learning_rate, **checkpoints(it.config)},
        "max_steps": it.params.max_steps,
        "epochs": it.params.epochs,
        "stopping": it.params.stopping,
        "kept": {step: at.parent for step, at in zip(it.params.keep_steps, it.output.kept, strict=True)},
        "machine": Machine(precision=it.params.precision, **machine(it.config)),
    }  # fmt: skip
    launch(train_unlearned, given, it.work)
