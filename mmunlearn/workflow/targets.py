"""The table of runs: a row a trained model, with what trains it, what it is asked, and which outputs want it.

Rules expand this table, and the plan counts it. Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from re import fullmatch
from typing import Any

from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.ids import (
    FINETUNED,
    GOAL,
    WHOLE,
    Recipe,
    Run,
    parse_recipe,
    parse_split,
    recipe_id,
    split_id,
    split_parts,
)
from mmunlearn.robustness import ATTACKS
from mmunlearn.workflow import lifelong
from mmunlearn.workflow.errors import decisive

Config = Mapping[str, Any]


def _tables(name: str) -> list[str]:
    own = [f"{name}.{kind}" for kind in ("csv", "md", "tex")]
    beside = [f"{name}_{what}.csv" for what in ("ceiling", "vs_published", "ranks", "differences")]
    return [f"<results>/tables/{file}" for file in (*own, *beside)]


def _figure(name: str) -> list[str]:
    return [f"<results>/figures/{name}.{kind}" for kind in ("png", "pdf")]


OUTPUTS = {
    "table3": ("<results>/report.html", *_tables("table3"), *_figure("fig8")),
    "table4": _tables("table4"),
    "robustness": (
        *(f"<results>/tables/robustness.{kind}" for kind in ("csv", "md")),
        *_figure("robustness"),
    ),
    "lifelong": lifelong.OUTPUTS,
    "figures": (
        *(file for number in (7, 8, 9, 10) for file in _figure(f"fig{number}")),
        "<results>/tables/figure9.csv",
    ),
}
"""What the targets of these names make; configuration `outputs` lists those of the default run. All of it: Snakemake
does not miss a file that no target names."""
ALWAYS = (
    "<results>/run_config.yaml",
    *(f"<results>/tables/filter_agreement.{kind}" for kind in ("csv", "md")),
    *_figure("fig4"),
)
"""What the default run makes besides, unless it is MLUBench's alone."""


def outputs(names: Iterable[str]) -> list[str]:
    """The files that some of OUTPUTS make."""
    return [path for name in names for path in OUTPUTS[name]]


def default(config: Config) -> list[str]:
    """The files of the default run."""
    names = config["outputs"]
    own = ALWAYS if set(names) - {"lifelong"} else ALWAYS[:1]
    return [*own, *outputs(names), *(lifelong.page(config) if "lifelong" in names else ())]


SHARED = "answer_recipes"
"""How the names of rules begin that ask several recipes in a job."""


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        rule: that trains it.
        sample: which questions it is asked, as `evaluation.sampling.Sample` takes them; None: all.
        sample_splits: the splits that the sample is drawn for.
        outputs: `table3`, `table4`, `figure7`, `figure9`, `robustness` -> the splits on which it is scored, judged
            or attacked for them; none where the model or its answers are enough.
    """

    run: Run
    rule: str
    sample: Mapping[str, Any] | None
    sample_splits: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]

    @property
    def recipe(self) -> Recipe:
        """The run's recipe, parsed."""
        return parse_recipe(self.run.recipe)


@dataclass(frozen=True)
class Group:
    """Whole recipes that one job asks the same questions, of one model and seed.

    Attributes:
        name: the first and the last recipe, as logs are called.
        seeds: a regular expression of those that all of them have.
        splits: the split files that the sample is drawn for.
    """

    name: str
    recipes: tuple[str, ...]
    seeds: str
    sample: Mapping[str, Any] | None
    splits: tuple[str, ...]

    @property
    def rule(self) -> str:
        """Name of the rule that asks them."""
        return f"{SHARED}_{self.recipes[0]}"


@decisive
class Targets:
    """The rows of a configuration, in the order of models, seeds and tables; the ceiling's come last of a model."""

    def __init__(self, config: Config) -> None:
        self._config = config
        dataset, figures = config["dataset"], config["figures"]
        self.steps = list(figures["steps"])
        self.splits = [split_id(t, percent) for t in dataset["targets"] for percent in dataset["percents"]]
        self.both_splits = [split_id("both", percent) for percent in dataset["both_percents"]]
        self.figure_splits = [split_id(target, figures["percent"]) for target in dataset["targets"]]

    def methods(self, target: str) -> list[str]:
        """The methods whose configuration row names a target."""
        return [name for name, row in self._config["methods"].items() if target in row["targets"]]

    @cached_property
    def rows(self) -> list[Row]:
        """All runs that any output wants."""
        return [self._row(run, outputs) for run, outputs in self._runs() if outputs]

    def row(self, run: Run) -> Row:
        """The row of a run, whether an output wants it or not."""
        return self._by_run.get(run) or self._row(run, {})

    @cached_property
    def _by_run(self) -> dict[Run, Row]:
        return {row.run: row for row in self.rows}

    def of(self, output: str) -> list[Row]:
        """The rows that an output wants."""
        return [row for row in self.rows if output in row.outputs]

    @property
    def answering_groups(self) -> list[Group]:
        """The recipes that share a job, `evaluation.recipes_per_job` of them: of the same questions and seeds, and
        wanted by the same outputs, so that none trains what it does not want. Recipes left alone are in no group."""
        size, wanted = self._config["evaluation"]["recipes_per_job"], defaultdict(set)
        for row in self.rows:
            if fullmatch(WHOLE, row.run.recipe):
                wanted[row.run.recipe] |= {
                    ("seed", row.run.seed),
                    *(("output", name) for name in row.outputs),
                }
        alike: dict[Any, list[str]] = {}
        for recipe, own in wanted.items():
            splits = self._sample_splits(parse_recipe(recipe))
            alike.setdefault((*splits, frozenset(own)), []).append(recipe)
        jobs = [names[i : i + size] for names in alike.values() for i in range(0, len(names), size)]
        return [self._group(names, wanted[names[0]]) for names in jobs if len(names) > 1]

    def _group(self, recipes: list[str], wanted: Iterable[tuple[str, Any]]) -> Group:
        seeds = "|".join(sorted(str(one) for kind, one in wanted if kind == "seed"))
        recipe, name = parse_recipe(recipes[0]), f"{recipes[0]}..{recipes[-1]}"
        splits = tuple(f"<results>/dataset/splits/{split}.json" for split in self._sample_splits(recipe))
        return Group(name, tuple(recipes), seeds, self._sample(recipe), splits)

    def scores(self, output: str) -> list[str]:
        """The score files that an output reads; `.sampled` ones rest on Figure 7's questions alone."""
        return [
            f"<results>/scores/{row.run.folder}/{split}{_suffix(row, output)}.json"
            for row in self.of(output)
            for split in row.outputs[output]
        ]

    def answers(self, output: str, suite: str = "dataset") -> list[str]:
        """The answers to a suite of all runs that an output wants."""
        return sorted(f"<results>/answers/{row.run.folder}/{suite}.jsonl" for row in self.of(output))

    def judgements(self, output: str) -> list[str]:
        """The judgements that an output reads itself, not by way of scores."""
        return [
            f"<results>/judgements/{row.run.folder}/{split}.jsonl"
            for row in self.of(output)
            for split in row.outputs[output]
        ]

    def trainings(self, output: str) -> list[str]:
        """training.json of the runs that an output wants; a step's is that of the whole run."""
        return sorted(
            f"<results>/models/{row.run.folder}/training.json"
            for row in self.of(output)
            if row.rule != "trace_unlearned"
        )

    @property
    def attacks(self) -> list[str]:
        """The files of all attacks."""
        return [
            f"<results>/robustness/{row.run.folder}/{split}/{attack}.json"
            for row in self.of("robustness")
            for split in row.outputs["robustness"]
            for attack in ATTACKS
        ]

    def sample(self, wildcards: Any) -> dict[str, Any] | None:
        """What the run of a job is asked, see `Row.sample`."""
        return self._sample(parse_recipe(wildcards.recipe))

    def sample_splits(self, wildcards: Any) -> list[str]:
        """The split files that its sample is drawn for."""
        names = self._sample_splits(parse_recipe(wildcards.recipe))
        return [f"<results>/dataset/splits/{name}.json" for name in names]

    @cached_property
    def figure_sample(self) -> dict[str, Any]:
        """What Figure 7 asks after every step: so many questions of each set but the forget set."""
        sizes = dict.fromkeys(("retain", "real", "world"), self._config["figures"]["questions"])
        return {"seed": self._config["seed"], **sizes}

    @cached_property
    def concept_sample(self) -> dict[str, Any]:
        """What Figure 9 asks a model that unlearned one concept: those questions on what the splits forget."""
        sizes = dict.fromkeys(("retain", "real", "world"), 0)
        return {"seed": self._config["seed"], **sizes, "one_kind": True}

    @cached_property
    def concepts(self) -> list[str]:
        """Figure 9's recipes: every concept of its splits, unlearned alone."""
        figures, curation = self._config["figures"], self._config["curation"]
        sizes = {"person": curation["n_people"], "event": curation["n_events"]}
        return [
            recipe_id(figures["concept_method"], split, concept=number)
            for target, split in zip(self._config["dataset"]["targets"], self.figure_splits, strict=True)
            for number in range(concepts_to_forget(sizes[target], figures["percent"]))
        ]

    def _row(self, run: Run, outputs: Mapping[str, tuple[str, ...]]) -> Row:
        recipe = parse_recipe(run.recipe)
        return Row(run, _rule(recipe), self._sample(recipe), tuple(self._sample_splits(recipe)), outputs)

    def _sample(self, recipe: Recipe) -> dict[str, Any] | None:
        retain = self._config["evaluation"].get("retain_sample")
        if recipe.concept is not None:
            return self.concept_sample
        if recipe.step is not None:
            return self.figure_sample
        return None if retain is None else {"seed": self._config["seed"], "retain": retain}

    def _sample_splits(self, recipe: Recipe) -> list[str]:
        if self._sample(recipe) is None:
            return []
        if recipe.concept is not None:
            return self.figure_splits
        if recipe.target is None:
            return sorted({*self.splits, *(part for both in self.both_splits for part in split_parts(both))})
        return split_parts(recipe.split)

    def _runs(self) -> Iterator[tuple[Run, dict[str, tuple[str, ...]]]]:
        config = self._config
        for model in config["models"]:
            for seed in config["seeds"]:
                for recipe, outputs in self._recipes(first=seed == config["seeds"][0]):
                    yield Run(model, recipe, seed), outputs
            if (ceiling := config["ceiling_seed"]) is not None:
                for split in self.splits:
                    if parse_split(split)[0] in config["ceiling_targets"]:
                        yield Run(model, recipe_id(GOAL, split), ceiling), {"table3": (split,)}
                for both in self.both_splits:
                    yield Run(model, recipe_id(GOAL, both), ceiling), {"table4": tuple(split_parts(both))}

    def _recipes(self, first: bool) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
        """Recipe -> what wants it, of one seed; figures take the `first` seed alone."""
        both_parts = tuple(part for both in self.both_splits for part in split_parts(both))
        attacked = self._attacked()
        judged = tuple(split for split in self.figure_splits if parse_split(split)[0] == "event")
        figures = {"figure7": tuple(self.figure_splits), "figure9": judged} if first else {}
        tables = {"table3": tuple(self.splits)} | ({"table4": both_parts} if both_parts else {})
        yield FINETUNED, tables | figures | {"robustness": tuple(attacked)}
        for split in dict.fromkeys((*self.splits, *attacked, *self.figure_splits)):
            target, _ = parse_split(split)
            figure = first and split in self.figure_splits
            for method in (GOAL, *self.methods(target)):
                outputs = {"table3": (split,)} if split in self.splits else {}
                if figure:
                    outputs |= {"figure7": (split,) if method == GOAL else ()}
                if figure and method == GOAL and target == "event":
                    outputs |= {"figure9": (split,)}
                if method in attacked.get(split, ()):
                    outputs |= {"robustness": (split,)}
                yield recipe_id(method, split), outputs
        for both in self.both_splits:
            for method in (GOAL, *self.methods("both")):
                yield recipe_id(method, both), {"table4": tuple(split_parts(both))}
        if first:
            yield from self._traced()

    def _traced(self) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
        """What Figures 7 and 9 want besides: every step of every method, and each concept unlearned alone."""
        for split in self.figure_splits:
            for method in self.methods(parse_split(split)[0]):
                for step in self.steps:
                    yield recipe_id(method, split, step=step), {"figure7": (split,)}
        for recipe in self.concepts:
            split = parse_recipe(recipe).split
            yield recipe, {"figure9": (split,) if parse_split(split)[0] == "event" else ()}

    def _attacked(self) -> dict[str, list[str]]:
        """Split -> the methods that are attacked on it."""
        robustness = self._config["robustness"]
        chosen = robustness["methods"]
        return {
            split_id(target, robustness["percent"]): [
                GOAL,
                *(name for name in self.methods(target) if chosen is None or name in chosen),
            ]
            for target in self._config["dataset"]["targets"]
        }


def trained(jobs: Iterable[Any]) -> set[str]:
    """The recipes that some of Snakemake's jobs train by an unlearning method."""
    return {job.wildcards.recipe for job in jobs if job.rule.name in ("train_unlearned", "trace_unlearned")}


def _rule(recipe: Recipe) -> str:
    if recipe.method in (FINETUNED, GOAL):
        return f"train_{recipe.method}"
    return "train_unlearned" if recipe.step is None else "trace_unlearned"


def _suffix(row: Row, output: str) -> str:
    return ".sampled" if output == "figure7" and row.recipe.step is None else ""
