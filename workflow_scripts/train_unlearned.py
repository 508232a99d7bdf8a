"""An unlearned model, from the finetuned adapter, or its adapters along the way."""

from mmunlearn.ids import Run, parse_recipe
from mmunlearn.models.loading import ModelSpec
from mmunlearn.training.launch import launch
from mmunlearn.training.recipes import Machine, TrainingJob, train_unlearned
from mmunlearn.workflow.job import job

with job(snakemake) as it:
    traced = {parse_recipe(Run.of(path).recipe).step: path.parent for path in it.output.get("adapters", [])}
    given = {
        "job": TrainingJob(
            model=it.run.model, recipe=it.run.recipe, seed=it.run.seed,
            spec=ModelSpec(**it.params["spec"]), features=[it.input.features],
            output=it.output.get("training") or it.work / "traced" / it.run.folder / "training.json",
            work=it.work, version=it.version, logs=it.log.with_suffix(""),
        ),
        "questions": it.input.questions,
        "splits": it.input.splits,
        "concept": parse_recipe(it.run.recipe).concept,
        "refusals": it.input.refusals,
        "finetuned": it.input.finetuned.parent,
        "method": parse_recipe(it.run.recipe).method,
        "options": it.params["options"],
        "settings": {**it.params["loop"], "save_steps": it.save_steps},
        "max_steps": it.params["max_steps"],
        "epochs": it.params["epochs"],
        "stopping": it.params["stopping"],
        "kept": traced,
        "machine": Machine(precision=it.params["precision"], **it.machine),
    }  # fmt: skip
    launch(train_unlearned, given, it.work)
