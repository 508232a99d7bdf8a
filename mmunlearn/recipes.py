"""The recipes that follow from a configuration: how each model is made, and which of them a table or figure needs.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LOOP_KEYS = ("targets", "learning_rate", "max_steps", "label")  # of a method's row; the rest are its options


class ConfigError(ValueError):
    """The configuration cannot be run; the message names the key, what was found and what to write."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the closest known name, or all of them."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(known)}"


def concepts_to_forget(n: int, percent: int) -> int:
    """How many of `n` concepts a percentage is, halves rounded up: 5% of 40 is 2."""
    return (2 * n * percent + 100) // 200


def method_row(config: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """The row of an unlearning method. Raises ConfigError with the nearest configured one."""
    if method not in config["methods"]:
        raise ConfigError(f"method '{method}' is not in methods; {nearest(method, config['methods'])}")
    return config["methods"][method]


def label(config: Mapping[str, Any], recipe: str) -> str:
    """How tables and figures spell a recipe's method, as published where it is: `ga-person05` is GA."""
    from mmunlearn.training.methods import labels

    method = parse_recipe(recipe).method
    fixed = {"finetuned": "Finetune", "goal": "Goal"}
    row = config["methods"].get(method, {})
    return fixed.get(method) or row.get("label") or labels().get(method, method.upper())


@dataclass(frozen=True)
class Recipe:
    """How a model is made.

    `finetuned`; `goal-<split>` or `<method>-<split>` where a split is <target><percent>; `<method>-<split>@<step>`,
    the same after so many optimizer steps (Figure 7); `<method>-<split>-<concept>`, the split's concept of that
    number alone (Figure 9).
    """

    method: str
    target: str | None = None
    percent: int | None = None
    step: int | None = None
    concept: int | None = None

    @property
    def split(self) -> str:
        return f"{self.target}{self.percent:02d}"

    @property
    def name(self) -> str:
        if self.target is None:
            return self.method
        part = f"@{self.step}" if self.step is not None else ""
        part += f"-{self.concept}" if self.concept is not None else ""
        return f"{self.method}-{self.split}{part}"


RECIPE = re.compile(
    r"(?P<method>[a-z0-9+]+)-(?P<split>[a-z]+[0-9]{2})(@(?P<step>[0-9]+)|-(?P<concept>[0-9]+))?"
)


def parse_recipe(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError where it is none."""
    if name == "finetuned":
        return Recipe(name)
    found = RECIPE.fullmatch(name)
    if not found:
        raise ConfigError(f"'{name}' is no recipe: expected finetuned or <method>-<target><two digits>")
    numbers = {key: int(found[key]) if found[key] else None for key in ("step", "concept")}
    return Recipe(found["method"], *parse_split(found["split"]), **numbers)


def parse_split(name: str) -> tuple[str, int]:
    """Target and percent of a split's name: `person05` is ("person", 5). Raises ConfigError for others."""
    target, digits = name[:-2], name[-2:]
    if target not in ("person", "event", "both") or not digits.isdigit():
        raise ConfigError(f"'{name}' is no split: expected <target><two digits>, e.g. person05")
    return target, int(digits)


def parts(split: str) -> list[str]:
    """The splits that one is made of: `both05` is forgotten as person05 and event05, any other as itself."""
    target, percent = parse_split(split)
    return [f"{one}{percent:02d}" for one in (("person", "event") if target == "both" else (target,))]


def splits(config: Mapping[str, Any]) -> list[str]:
    """Names of Table III's splits, e.g. `person05`: targets x percents."""
    dataset = config["dataset"]
    return [f"{target}{percent:02d}" for target in dataset["targets"] for percent in dataset["percents"]]


def both_splits(config: Mapping[str, Any]) -> list[str]:
    """Names of Table IV's splits, e.g. `both05`."""
    return [f"both{percent:02d}" for percent in config["dataset"]["both_percents"]]


def methods_for(config: Mapping[str, Any], target: str) -> list[str]:
    """The methods whose row names a target."""
    return [method for method, row in config["methods"].items() if target in row["targets"]]


def recipes(config: Mapping[str, Any]) -> list[Recipe]:
    """Table III: finetuned once; goal and each method of a target for every percent."""
    derived = []
    for split in splits(config):
        target, percent = parse_split(split)
        derived += [Recipe(method, target, percent) for method in ("goal", *methods_for(config, target))]
    return [Recipe("finetuned"), *derived]


OUTPUTS = {
    "table3": ("<results>/report.html",),
    "table4": ("<results>/tables/table4.csv",),
    "robustness": ("<results>/tables/robustness.csv", "<results>/figures/robustness.png"),
    "figures": tuple(f"<results>/figures/fig{number}.png" for number in (7, 8, 9, 10)),
}
"""What the targets of these names make; configuration `outputs` lists those of the default run."""


def outputs(names: Iterable[str]) -> list[str]:
    """The files that some of OUTPUTS make."""
    return [path for name in names for path in OUTPUTS[name]]


Scored = tuple[str, str, str, int]


def scored(config: Mapping[str, Any]) -> list[Scored]:
    """What Table III needs: (model, recipe, split, seed) of every score file, the ceiling's included."""
    rows = []
    for model in config["models"]:
        for seed in config["seeds"]:
            for recipe in recipes(config):
                own = splits(config) if recipe.target is None else [recipe.split]
                rows += [(model, recipe.name, split, seed) for split in own]
        if config["ceiling_seed"] is not None:
            rows += [(model, f"goal-{split}", split, config["ceiling_seed"]) for split in splits(config)]
    return rows


def scored_both(config: Mapping[str, Any]) -> list[Scored]:
    """What Table IV needs: finetuned, goal and every method of target `both`, and the ceiling's goal, each scored for
    person and event."""
    wanted = [
        (method, seed)
        for seed in config["seeds"]
        for method in ("finetuned", "goal", *methods_for(config, "both"))
    ]
    if config["ceiling_seed"] is not None:
        wanted.append(("goal", config["ceiling_seed"]))
    return [
        (model, method if method == "finetuned" else f"{method}-{both}", split, seed)
        for model in config["models"]
        for both in both_splits(config)
        for method, seed in wanted
        for split in parts(both)
    ]


def scored_steps(config: Mapping[str, Any]) -> list[Scored]:
    """What Figure 7 needs: every method of a single target after each step, and goal, for the first seed."""
    percent, seed = config["figures"]["percent"], config["seeds"][0]
    rows = []
    for model in config["models"]:
        for target in config["dataset"]["targets"]:
            split = f"{target}{percent:02d}"
            rows += [
                (model, Recipe(method, target, percent, step=step).name, split, seed)
                for method in methods_for(config, target)
                for step in config["figures"]["steps"]
            ]
    return rows


def concepts(config: Mapping[str, Any]) -> list[Recipe]:
    """Figure 9: one recipe for each concept of the splits of `figures.percent`."""
    figures, curation = config["figures"], config["curation"]
    sizes = {"person": curation["n_people"], "event": curation["n_events"]}
    return [
        Recipe(figures["concept_method"], target, figures["percent"], concept=number)
        for target in config["dataset"]["targets"]
        for number in range(concepts_to_forget(sizes[target], figures["percent"]))
    ]


def attacked(config: Mapping[str, Any]) -> list[Scored]:
    """What robustness is measured of: finetuned, goal and the chosen methods on every target, for every seed."""
    robustness, percent = config["robustness"], config["robustness"]["percent"]
    chosen = robustness["methods"]
    return [
        (model, recipe, f"{target}{percent:02d}", seed)
        for model in config["models"]
        for seed in config["seeds"]
        for target in config["dataset"]["targets"]
        for method in ("finetuned", "goal", *methods_for(config, target))
        if chosen is None or method in ("finetuned", "goal", *chosen)
        for recipe in ["finetuned" if method == "finetuned" else f"{method}-{target}{percent:02d}"]
    ]


def attacks(rows: Iterable[Scored], names: Iterable[str]) -> list[str]:
    """Files of these attacks on what is attacked."""
    return [
        f"<results>/robustness/{m}/{r}/seed-{s}/{split}/{name}.json"
        for m, r, split, s in rows
        for name in names
    ]


def trainings(rows: Iterable[Scored]) -> list[str]:
    """training.json of what is scored."""
    return sorted({f"<results>/models/{m}/{r}/seed-{s}/training.json" for m, r, _, s in rows})


def answers(rows: Iterable[Scored], suite: str) -> list[str]:
    """Answers to a suite of what is scored."""
    return sorted({f"<results>/answers/{m}/{r}/seed-{s}/{suite}.jsonl" for m, r, _, s in rows})


def scores(rows: Iterable[Scored], suffix: str = "") -> list[str]:
    """Score files; those of suffix `.sampled` rest on Figure 7's questions alone."""
    return [f"<results>/scores/{m}/{r}/seed-{s}/{split}{suffix}.json" for m, r, split, s in rows]


def anchor(config: Mapping[str, Any], wildcards: Any, recipe: str, suite: str) -> str:
    """Answers of the finetuned or goal model that a recipe is judged against: of its own seed, and of the first
    one for the ceiling."""
    own = int(wildcards.seed)
    seed = own if own in config["seeds"] else config["seeds"][0]
    return f"<results>/answers/{wildcards.model}/{recipe}/seed-{seed}/{suite}.jsonl"


def goal_of(wildcards: Any) -> str:
    """The goal model that a recipe is judged against: that of its own split, of the scored one for finetuned."""
    recipe = parse_recipe(wildcards.recipe)
    return f"goal-{wildcards.split if recipe.target is None else recipe.split}"
