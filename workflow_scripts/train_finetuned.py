"""The finetuned model, or a goal model where the recipe has a split."""

from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.launch import launch
from mmunlearn.training.recipes import Machine, TrainingJob, train_finetuned
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    given = {
        "job": TrainingJob(
            model=it.run.model, recipe=it.run.recipe, seed=it.run.seed,
            spec=ModelSpec(**it.params["spec"], lora_targets=it.params["lora_targets"]), features=it.input.features,
            output=it.output.training, work=it.work, version=it.version, logs=it.log.with_suffix(""),
        ),
        "questions": it.input.questions,
        "replay": it.input.replay,
        "splits": it.input.splits,
        "lora": it.params["lora"],
        "settings": {**it.params["loop"], "save_steps": it.save_steps},
        "epochs": it.params["epochs"],
        "machine": Machine(precision=it.params["precision"], **it.machine),
    }  # fmt: skip
    launch(train_finetuned, given, it.work)
