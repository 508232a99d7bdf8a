"""The lifelong phase's table of sequences, leaf values and input functions. See targets.py and params.py for PEBench's.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmunlearn.endpoint import identity_of
from mmunlearn.tasks import RUBRICS, TaskSequence, order_id
from mmunlearn.training.methods import METHODS
from mmunlearn.workflow.errors import decisive
from mmunlearn.workflow.identity import Contents, Recorded, method_digest

Config = Mapping[str, Any]

HOME = "<results>/lifelong"
STAGE = HOME + "/{model}/{method}/{order}/seed-{seed}"
STAGE_FILES = {
    "trainings": "training.json",
    "steps": "steps.jsonl",
    "adapters": "adapter/adapter_model.safetensors",
    "adapter_configs": "adapter/adapter_config.json",
}
"""What a stage's folder holds: its model."""
ROW_KEYS = ("method", "learning_rate", "max_steps", "task_rates", "stop", "reference_model", "label")
"""Keys of a row of `lifelong.methods` that are not the method's own options."""
EXPERTS = "po"
"""The method that experts learn by."""
FOLDERS = {"experts", "gates"}
"""Names in a model's folder that no row may have."""
ASKING = ("vlm", "clip")
"""Gates that look at pictures; the others need no replies."""
KNOWN = "resources/pocket/llava/knowledge.csv"
"""What the shipped base knows of the entities of the pocket tasks."""
OPENAI = ("base_url", "model", "temperature", "seed")
"""Of an endpoint, what a reply rests on."""
TABLES = (
    *("mlubench.csv", "mlubench.md", "mlubench.tex"),
    *(f"mlubench_{name}.csv" for name in ("differences", "vs_published", "ranks")),
    *(f"lifelong_{name}.csv" for name in ("untouched", "classes", "orders", "cost", "undo", "gate", "data")),
    *("lifelong_gate.md", "representation_drift.csv", "representation_drift.md"),
)
FIGURES = ("lifelong_matrix", "lifelong_utility", "lifelong_data")
OUTPUTS = (
    "<results>/lifelong/run_config.yaml",
    *(f"<results>/tables/{name}" for name in TABLES),
    *(f"<results>/figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")),
)
"""What the target `lifelong` makes, beside the report."""
REPORTED = (
    *("mlubench", "mlubench_vs_published", "mlubench_ranks", "lifelong_untouched", "lifelong_classes"),
    *("lifelong_orders", "lifelong_cost", "lifelong_undo", "lifelong_gate", "representation_drift"),
)
"""Tables that the report shows, with the figures."""


def page(config: Config) -> list[str]:
    """Where the phase is reported: a section of the report, or a page of its own in a run without PEBench."""
    return [f"<results>/{'report' if set(config['outputs']) - {'lifelong'} else 'lifelong'}.html"]


def labels(own: Config) -> dict[str, str]:
    """Row of `lifelong.methods` or `lifelong.lumoe` -> how tables spell it: as it says, as published, or its name."""
    rows = {**own["methods"], **own["lumoe"]}.items()
    published = {name: METHODS[name].label if name in METHODS else name for name, _ in rows}
    return {name: row.get("label") or published[name] for name, row in rows}


@decisive
class Lifelong:
    """The sequences of a checked configuration, and what their rules take."""

    def __init__(
        self, config: Config, contents: Contents, targets: Callable[[], Iterable[str] | None] = tuple
    ) -> None:
        """`targets`: what the run was asked for, known once the rules were read."""
        self._config, self._own = config, config["lifelong"]
        self._contents, self._targets = contents, targets
        self.tasks: list[str] = list(self._own["tasks"])
        orders = self._own["orders"] or [self.tasks]
        self.orders = {order_id(order): list(order) for order in orders}
        self.first_order = next(iter(self.orders))

    # the table of sequences

    @cached_property
    def trained(self) -> list[str]:
        """The methods that unlearn task after task."""
        return list(self._own["methods"])

    @cached_property
    def mixtures(self) -> list[str]:
        """The rows that answer by experts behind a gate."""
        return list(self._own["lumoe"])

    @property
    def sequences(self) -> list[TaskSequence]:
        """All of them, in the order of tables."""
        return list(self._sequences([*self.trained, *self.mixtures], self.orders))

    @property
    def rubrics(self) -> list[str]:
        """By which answers are rated."""
        return list(RUBRICS)

    @staticmethod
    def named(values: list[str]) -> str:
        """The wildcard's values, as a regular expression that nothing fits where there are none."""
        return "|".join(map(re.escape, values)) or "(?!)"

    def _sequences(self, methods: Collection[str], orders: Any) -> Iterator[TaskSequence]:
        for model in self._config["models"]:
            for order in orders:
                for method in methods:
                    for seed in self._config["seeds"]:
                        yield TaskSequence(model, method, order, seed)

    def files(self, name: str) -> list[str]:
        """A file of every sequence."""
        return [f"{HOME}/{one.folder}/{name}" for one in self.sequences]

    def stage_files(self, name: str, methods: Collection[str]) -> list[str]:
        """A file of every stage of some methods' sequences."""
        return [
            f"{HOME}/{one.folder}/{task}/{name}"
            for one in self._sequences(methods, self.orders)
            for task in self.orders[one.order]
        ]

    def mixture_files(self, name: str) -> list[str]:
        """A file of every sequence of experts."""
        return [f"{HOME}/{one.folder}/{name}" for one in self._sequences(self.mixtures, self.orders)]

    def expert_files(self, name: str) -> list[str]:
        """A file of every expert."""
        pairs = [(model, seed) for model in self._config["models"] for seed in self._config["seeds"]]
        return [
            f"{HOME}/{model}/experts/seed-{seed}/{task}/{name}"
            for model, seed in pairs
            for task in self.tasks
        ]

    @property
    def adapter_files(self) -> list[str]:
        """The weights of every stage's model and of every expert."""
        name = STAGE_FILES["adapters"]
        return [*self.stage_files(name, self.trained), *self.expert_files(name)]

    @property
    def drifts(self) -> list[str]:
        """The measured drifts, of the first order alone. All rows of experts have the same, so that one is enough."""
        own = self._own["drift"]
        chosen = own["methods"] or [*self.trained, *list(self.gates)[:1]]
        return [
            f"{HOME}/{one.folder}/drift.json"
            for one in self._sequences(chosen, [self.first_order])
            if one.model in (own["models"] or self._config["models"])
        ]

    # data

    @property
    def released(self) -> str | list[str]:
        """The manifest of the tasks that are drawn, where they are."""
        return f"{HOME}/released/manifest.json" if self._own["data"] == "pocket" else []

    @property
    def drawing(self) -> dict[str, Any]:
        """What shapes the drawn tasks."""
        known = self._contents.of(KNOWN)
        return {
            "tasks": self.tasks,
            "size": self._config["images"]["size"],
            "seed": self._config["seed"],
            "options": {**self._own["pocket"], "known": known},
        }

    def source(self, wildcards: Any) -> Recorded | str:
        """Where the tasks lie: a zip or a folder."""
        return self._brought("tasks")

    def pictures(self, wildcards: Any) -> Recorded | str:
        """The folder of their pictures."""
        return self._brought("pictures")

    def _brought(self, key: str) -> Recorded | str:
        if self._own["data"] == "pocket":
            return f"results/{self._config['scale']}/lifelong/released"
        return self._contents.of(self._own["files"][key], Path)

    @property
    def reading(self) -> dict[str, Any]:
        """How the tasks are read."""
        keys = ("test_share", "questions", "keep_available")
        return {"tasks": self.tasks, **{key: self._own[key] for key in keys}, "seed": self._config["seed"]}

    # training

    def order(self, wildcards: Any) -> list[str]:
        """The tasks of a sequence, one after another."""
        return self.orders[wildcards.order]

    def _row(self, wildcards: Any) -> Mapping[str, Any]:
        return self._own["methods"][wildcards.method]

    def method(self, wildcards: Any) -> str:
        """The method's name: the row's, where it names no other."""
        return self._row(wildcards).get("method", wildcards.method)

    def options(self, wildcards: Any) -> dict[str, Any]:
        """What the method itself takes."""
        return {key: value for key, value in sorted(self._row(wildcards).items()) if key not in ROW_KEYS}

    def rates(self, wildcards: Any) -> dict[str, float]:
        """Task -> learning rate."""
        row = self._row(wildcards)
        own = row.get("task_rates", {})
        return {task: own.get(task, row["learning_rate"]) for task in self.tasks}

    def expert_rates(self, wildcards: Any) -> dict[str, float]:
        """Task -> learning rate of its expert."""
        return dict.fromkeys(self.tasks, self._own["experts"]["learning_rate"])

    def max_steps(self, wildcards: Any) -> int:
        """Optimizer steps of a task at most."""
        return self._row(wildcards)["max_steps"]

    def stop(self, wildcards: Any) -> dict[str, Any] | None:
        """When a task ends before that; None: never."""
        row = self._row(wildcards)
        return dict(row["stop"]) if row.get("stop") else None

    def reference_model(self, wildcards: Any) -> str:
        """The reference: the model before the `first` task, or before the task itself, the `previous` one."""
        return self._row(wildcards).get("reference_model", "first")

    def method_code(self, wildcards: Any) -> str:
        """Digest of the code that decides what a method learns: itself, as finished tasks are kept by it."""
        return repr(method_digest(METHODS[self.method(wildcards)].path))

    def expert_code(self, wildcards: Any) -> str:
        """Likewise of the experts'."""
        return repr(method_digest(METHODS[EXPERTS].path))

    def loop(self, wildcards: Any) -> dict[str, Any]:
        """What the training loop takes besides the rate."""
        own, training = self._own["train"], self._config["training"]
        loop = {
            key: own[key] for key in ("batch", "accumulation", "schedule", "warmup_steps", "weight_decay")
        }
        loop["batch"] = self._config["models"][wildcards.model]["batch"] or loop["batch"]
        return loop | {key: training[key] for key in ("average", "max_grad_norm")}

    def refusals(self, wildcards: Any) -> Recorded:
        """The file of what PO and the experts learn to say."""
        return self._contents.of(self._own["train"]["refusals"], Path)

    # gates

    @property
    def gates(self) -> dict[str, str]:
        """Row of experts -> its gate; the base alone has none."""
        return {name: row["gate"] for name, row in self._own["lumoe"].items() if row["gate"] != "none"}

    def gate(self, wildcards: Any) -> str:
        """The gate of a row of experts."""
        return self._own["lumoe"][wildcards.method]["gate"]

    def replies(self, wildcards: Any) -> str | list[str]:
        """The replies that a gate goes by, where it looks at pictures."""
        gate = self.gate(wildcards)
        return f"{HOME}/{wildcards.model}/gates/{gate}.jsonl" if gate in ASKING else []

    def threshold(self, wildcards: Any) -> float | None:
        """Under it the base answers."""
        gate = self.gate(wildcards)
        return self._own["gates"][gate]["threshold"] if gate in ASKING else None

    def encoder(self, wildcards: Any) -> list[str]:
        """The folder of a gate's own encoder, where it has one."""
        folder = self._own["gates"][wildcards.gate].get("encoder")
        return [folder] if folder else []

    def gate_settings(self, wildcards: Any) -> dict[str, Any]:
        """What a gate's replies rest on."""
        own = {key: one for key, one in self._own["gates"][wildcards.gate].items() if key != "threshold"}
        if "openai" in own:
            used = {key: own["openai"][key] for key in OPENAI}
            used["base_url"] = identity_of(used["base_url"])
            own["openai"] = used if own["asks"] == "openai" else None
        if own.get("encoder"):
            own["encoder"] = self._contents.of(own["encoder"])
        return own

    # scores

    @cached_property
    def labels(self) -> dict[str, str]:
        """Method -> how tables spell it."""
        return labels(self._own)

    @property
    def references(self) -> list[str]:
        """Rows that are no methods, but what these are compared with: nobody can send questions as they do."""
        return [name for name, row in self._own["lumoe"].items() if row["gate"] not in ASKING]

    def label(self, wildcards: Any) -> str:
        """How tables spell a sequence's method."""
        return self.labels[wildcards.method]

    def adapters(self, wildcards: Any) -> list[str]:
        """The models behind a sequence's stages: its own, or the experts."""
        return self._of_models(wildcards, STAGE_FILES["adapters"])

    def trainings(self, wildcards: Any) -> list[str]:
        """training.json of these models."""
        return self._of_models(wildcards, STAGE_FILES["trainings"])

    def _of_models(self, wildcards: Any, name: str) -> list[str]:
        if wildcards.method in self.trained:
            home = f"{HOME}/{wildcards.model}/{wildcards.method}/{wildcards.order}/seed-{wildcards.seed}"
        else:
            home = f"{HOME}/{wildcards.model}/experts/seed-{wildcards.seed}"
        return [f"{home}/{task}/{name}" for task in self.orders[wildcards.order]]

    def training_settings(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        """Task -> what its training.json has to say of the settings; the others leave the result alone."""
        row = self._config["models"][wildcards.model]
        common = {
            **self.loop(wildcards),
            "lora": {**self._own["lora"], "targets": row["lora_targets"]},
            "max_epochs": self._own["train"]["epochs"],
            "precision": self._config["training"]["precision"],
        }
        if wildcards.method in self.trained:
            own = {
                "method": self.method(wildcards),
                "options": self.options(wildcards),
                "max_steps": self.max_steps(wildcards),
                "stopping": self.stop(wildcards),
            }
            rates = self.rates(wildcards)
        else:
            experts = self._own["experts"]
            own = {"method": EXPERTS, "max_steps": experts["max_steps"], "stopping": experts["stop"]}
            rates = self.expert_rates(wildcards)
        return {
            task: {**common, **own, "learning_rate": rates[task]} for task in self.orders[wildcards.order]
        }

    @property
    def drift_settings(self) -> dict[str, Any]:
        """How drift is measured."""
        chosen = {key: self._own["drift"][key] for key in ("distance", "questions")}
        return chosen | {"seed": self._config["seed"], "bootstrap": self._config["evaluation"]["bootstrap"]}

    # the report

    @property
    def report_files(self) -> list[str]:
        """What a report shows of this phase."""
        tables = [f"<results>/tables/{name}.csv" for name in REPORTED]
        return [*tables, *(f"<results>/figures/{name}.png" for name in FIGURES)]

    def reported(self, wildcards: Any) -> list[str]:
        """Likewise of report.html: nothing before the phase was asked for; once made, it stays there."""
        table = Path("results", self._config["scale"], "tables", "mlubench.csv")
        wanted = (
            "lifelong" in self._config["outputs"] or "lifelong" in (self._targets() or ()) or table.exists()
        )
        return self.report_files if wanted else []
