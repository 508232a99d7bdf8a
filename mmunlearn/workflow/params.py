"""Leaf values and input functions for rules, so that a key that a job does not use never reruns it.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmunlearn.dataset.splits import to_train
from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.ids import FINETUNED, GOAL, Run, parse_recipe, parse_split, recipe_id, split_parts
from mmunlearn.models.families import caches_features
from mmunlearn.models.needs import template_text
from mmunlearn.training.methods import METHODS
from mmunlearn.training.methods.options import LOOP_KEYS
from mmunlearn.workflow.data_params import DataParams
from mmunlearn.workflow.errors import decisive
from mmunlearn.workflow.identity import Recorded, method_digest
from mmunlearn.workflow.public import public_settings
from mmunlearn.workflow.run_config import without_keys

Config = Mapping[str, Any]

OWN_LABELS = {FINETUNED: "Finetune", GOAL: "Goal"}
"""How tables and figures spell the models that no method has made."""
STOPPING = ("window", "forget_bound", "refusal_bound")
SUITES = ("dataset", "real", "world")


def labels(config: Config) -> dict[str, str]:
    """How tables and figures spell each method: as its row says, as published, or in capitals."""
    rows = config["methods"].items()
    published = {name: METHODS[name].label if name in METHODS else name.upper() for name, _ in rows}
    spelled = {name: row["label"] for name, row in rows if row.get("label")}
    return {**OWN_LABELS, **published, **spelled}


@decisive
class Params(DataParams):
    """The leaf values of a checked configuration. Methods that take wildcards are given to rules as they are."""

    # the run

    @property
    def recorded(self) -> dict[str, Any]:
        """What rewrites run_config.yaml: the sections that the run rests on. Other figures, attacks or outputs than
        before leave the record of the tables alone, as does the lifelong phase where it is only a target."""
        own = self.recorded_with_lifelong
        return (
            own
            if "lifelong" in self._config["outputs"]
            else {k: v for k, v in own.items() if k != "lifelong"}
        )

    @property
    def recorded_with_lifelong(self) -> dict[str, Any]:
        """What rewrites the record beside the lifelong phase's results."""
        others = ("outputs", "figures", "robustness", "cluster", "plan")
        return without_keys({name: one for name, one in self._config.items() if name not in others})

    @property
    def public(self) -> dict[str, Any]:
        """The settings that leave with an exported data set."""
        return public_settings(self._config)

    @property
    def report(self) -> dict[str, Any]:
        """What the report says of the run: scale, base seed and the filters' thresholds."""
        images = self._config["images"]
        return {
            "scale": self._config["scale"],
            "seed": self._config["seed"],
            "thresholds": images["thresholds"],
        }

    # models and training

    def model(self, wildcards: Any) -> dict[str, Any]:
        """The row of `models` that a job loads, as `models.loading.ModelSpec` takes it."""
        row = self._config["models"][wildcards.model]
        template = row["chat_template"]
        own = {} if template is None else {"chat_template": template_text(template)}
        return {**self.tower(wildcards), **own}

    def tower(self, wildcards: Any) -> dict[str, Any]:
        """Likewise without what pictures do not pass through."""
        row = self._config["models"][wildcards.model]
        spec = {key: row[key] for key in ("family", "source", "dtype", "attention", "revision")}
        return spec if row["revision"] else {**spec, "source": self.contents.checkpoint(row["source"])}

    def lora_targets(self, wildcards: Any) -> str | None:
        """Which modules of a model get LoRA, where its row says so."""
        return self._config["models"][wildcards.model]["lora_targets"]

    def base(self, wildcards: Any) -> list[str]:
        """The receipt of a base model whose weights are fetched, as an input."""
        return self.receipts([self._config["models"][wildcards.model]["source"]])

    def suite_pictures(self, wildcards: Any) -> str:
        """The file that lists a suite's pictures with their checksums."""
        return self._list_of(wildcards.suite)

    @staticmethod
    def _list_of(suite: str) -> str:
        return (
            f"<results>/dataset/{suite}.jsonl" if suite != "dataset" else "<results>/images/manifest.parquet"
        )

    def features(self, *suites: str) -> Callable[[Any], list[str]]:
        """What shows suites' pictures to a model: a file of features each, or, where its row keeps none, their list."""
        return lambda wildcards: [self._features(wildcards, suite) for suite in suites]

    def _features(self, wildcards: Any, suite: str) -> str:
        kept = f"<results>/features/{wildcards.model}/{suite}.safetensors"
        return kept if self._keeps(wildcards) else self._list_of(suite)

    def _keeps(self, wildcards: Any) -> bool:
        return caches_features(self._config["models"][wildcards.model])

    def dataset_features(self, wildcards: Any) -> str:
        """Likewise of the data set alone."""
        return self._features(wildcards, "dataset")

    def unseen_features(self, wildcards: Any) -> str:
        """Likewise of pictures that no model has trained on."""
        home, split = "<results>/robustness/unseen", wildcards.split
        kept = f"{home}/{wildcards.model}/{split}.safetensors"
        return kept if self._keeps(wildcards) else f"{home}/{split}.parquet"

    def task_features(self, wildcards: Any) -> str:
        """Likewise of the lifelong phase's tasks."""
        kept = f"<results>/lifelong/{wildcards.model}/features.safetensors"
        return kept if self._keeps(wildcards) else "<results>/lifelong/questions.jsonl"

    def splits(self, wildcards: Any) -> list[str]:
        """The split files that a recipe forgets: none of `finetuned`, two of `both`."""
        recipe = parse_recipe(wildcards.recipe)
        names = [] if recipe.target is None else split_parts(recipe.split)
        return [f"<results>/dataset/splits/{name}.json" for name in names]

    def finetuning(self, wildcards: Any) -> dict[str, Any]:
        """What the training loop takes for finetuned and goal models."""
        return self._loop("finetune", wildcards.model) | {
            "learning_rate": self._config["training"]["finetune"]["learning_rate"]
        }

    def unlearning(self, wildcards: Any) -> dict[str, Any]:
        """What the training loop takes for unlearned models."""
        row = self._method_row(wildcards)
        return self._loop("unlearn", wildcards.model) | {"learning_rate": row["learning_rate"]}

    def _loop(self, phase: str, model: str) -> dict[str, Any]:
        training = self._config["training"]
        loop = {key: training[phase][key] for key in ("batch", "accumulation", "schedule", "warmup_steps")}
        loop["batch"] = self._config["models"][model]["batch"] or loop["batch"]
        return loop | {key: training[key] for key in ("average", "weight_decay", "max_grad_norm")}

    def _method_row(self, wildcards: Any) -> Mapping[str, Any]:
        return self._config["methods"][parse_recipe(wildcards.recipe).method]

    def method_options(self, wildcards: Any) -> dict[str, Any]:
        """What the method itself takes: its row without the loop's keys."""
        row = self._method_row(wildcards)
        return {key: value for key, value in sorted(row.items()) if key not in LOOP_KEYS}

    def method_code(self, wildcards: Any) -> Recorded:
        """Digest of the code that decides what a recipe learns."""
        method = parse_recipe(wildcards.recipe).method
        if method in (FINETUNED, GOAL):
            return method_digest("mmunlearn.training.methods.finetune:Finetune")
        return method_digest(self._config["methods"][method].get("path") or METHODS[method].path)

    def refusals(self, wildcards: Any) -> Recorded:
        """The file of what PO and DPO teach to say."""
        return self.contents.of(self._config["training"]["unlearn"]["refusals"], Path)

    def max_steps(self, wildcards: Any) -> int:
        """Optimizer steps of a method at most."""
        return self._method_row(wildcards)["max_steps"]

    @property
    def stopping(self) -> dict[str, Any]:
        """When unlearning ends before that."""
        return {key: self._config["training"]["unlearn"]["stop"][key] for key in STOPPING}

    def training(self, wildcards: Any) -> str | list[str]:
        """training.json of a recipe; adapters along the way have none."""
        if parse_recipe(wildcards.recipe).step is not None:
            return []
        return f"<results>/models/{self._run(wildcards).folder}/training.json"

    def training_settings(self, wildcards: Any) -> dict[str, Any] | None:
        """What that file has to say of its settings; the others leave the result alone."""
        recipe, training = parse_recipe(wildcards.recipe), self._config["training"]
        if recipe.step is not None:
            return None
        if recipe.method in (FINETUNED, GOAL):
            own = {"lora": training["lora"], "epochs": training["finetune"]["epochs"]}
            return {**self.finetuning(wildcards), **own, "precision": training["precision"]}
        limits = {
            "max_steps": self.max_steps(wildcards),
            "max_epochs": training["unlearn"]["epochs"],
            "stopping": self.stopping,
        }
        own = {"options": self.method_options(wildcards), **limits}
        return {**self.unlearning(wildcards), **own, "precision": training["precision"]}

    @staticmethod
    def _run(wildcards: Any) -> Run:
        return Run(wildcards.model, wildcards.recipe, int(wildcards.seed))

    # answers, judgements, scores

    def answering_batch(self, wildcards: Any) -> int | None:
        """The batch of questions where it decides answers, by rounding in 16 bits; None in float32."""
        exact = self._config["models"][wildcards.model]["dtype"] == "float32"
        exact = exact and self._config["training"]["precision"] == "none"
        return None if exact else self._config["evaluation"]["batch"]

    @cached_property
    def labels(self) -> dict[str, str]:
        """Method -> how tables and figures spell it."""
        return labels(self._config)

    def label(self, wildcards: Any) -> str:
        """How tables spell the method of a recipe."""
        return self.labels[parse_recipe(wildcards.recipe).method]

    def finetuned_answers(self, wildcards: Any) -> str:
        """The finetuned model's answers to the data set, which a recipe is judged against."""
        return self._reference_answers(wildcards, FINETUNED, "dataset")

    def finetuned_real_answers(self, wildcards: Any) -> str:
        """Likewise to the Real set."""
        return self._reference_answers(wildcards, FINETUNED, "real")

    def goal_answers(self, wildcards: Any) -> str:
        """The goal model's answers, of the recipe's own split; of the scored one for `finetuned`."""
        recipe = parse_recipe(wildcards.recipe)
        split = wildcards.split if recipe.target is None else recipe.split
        return self._reference_answers(wildcards, recipe_id(GOAL, split), "dataset")

    def _reference_answers(self, wildcards: Any, recipe: str, suite: str) -> str:
        """Of the run's own seed, and of the first one for the ceiling."""
        seeds = self._config["seeds"]
        seed = int(wildcards.seed) if int(wildcards.seed) in seeds else seeds[0]
        return f"<results>/answers/{Run(wildcards.model, recipe, seed).folder}/{suite}.jsonl"

    def judgements(self, wildcards: Any) -> str | list[str]:
        """G-Eval judgements: the event target has them, the person target has none."""
        if parse_split(wildcards.split)[0] == "person":
            return []
        return f"<results>/judgements/{self._run(wildcards).folder}/{wildcards.split}.jsonl"

    def judge_identity(self, rubric: str) -> list[Any]:
        """What decides a verdict besides the texts; the rest of `evaluation.openai` reruns nothing."""
        evaluation = self._config["evaluation"]
        if evaluation["judge"] == "local":
            return []
        return list(RUBRICS.load(rubric)().identity(evaluation["openai"]).values())

    @property
    def judge_name(self) -> str:
        """The judge as tables name it: `local`, or `openai/` and the model."""
        judge = self._config["evaluation"]["judge"]
        return judge if judge == "local" else f"{judge}/{self._config['evaluation'][judge]['model']}"

    @property
    def attack_settings(self) -> dict[str, Any]:
        """How an attacked model is asked."""
        evaluation, robustness = self._config["evaluation"], self._config["robustness"]
        return {
            **{key: evaluation[key] for key in ("max_new_tokens", "bootstrap")},
            "questions": robustness["questions"],
            "seed": self._config["seed"],
            "precision": self._config["training"]["precision"],
        }

    def paraphrases(self, wildcards: Any) -> Recorded:
        """The file of questions in other words."""
        return self.contents.of(self._config["robustness"]["paraphrases"], Path)

    def attacks(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        """Attack -> its options. Raises ValueError where relearning would leave nothing to ask."""
        robustness, training = self._config["robustness"], self._config["training"]
        if problem := relearn_problem(self._config, wildcards.split):
            raise ValueError(problem)
        relearning = {
            **{key: robustness["relearn"][key] for key in ("samples", "steps", "learning_rate", "batch")},
            **{key: training[key] for key in ("average", "weight_decay", "max_grad_norm", "precision")},
            "at_once": self._config["models"][wildcards.model]["batch"],
        }
        return {
            "relearning": relearning,
            "quantisation": {"bits": robustness["quantise_bits"], "group": robustness["quantise_group"]},
            "membership": {"min_k": robustness["min_k"]},
            "paraphrase": {},
        }


def relearn_problem(config: Mapping[str, Any], split: str) -> str | None:
    """What is wrong, if anything, with the number of samples that relearning finetunes on. Nothing where no unseen
    pictures can be drawn: there is no relearning, see `check`."""
    if config["images"]["generator"] == "files":
        return None
    (target, percent), curation = parse_split(split), config["curation"]
    sizes = {"person": curation["n_people"], "event": curation["n_events"]}
    present = to_train(sizes.pop(target), percent, *sizes.values())
    if (samples := config["robustness"]["relearn"]["samples"]) < present:
        return None
    return (
        f"robustness.relearn.samples: {samples} are not fewer than the {present} forget_train pictures of {split}, of "
        f"which some must be left to ask; {f'set it to 1 to {present - 1}' if present > 1 else 'forget more'}"
    )
