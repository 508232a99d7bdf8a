"""How many pictures and questions a configuration has, before any is made, and what the plan assumes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.evaluation.sampling import Sample
from mmunlearn.ids import Recipe, Run, parse_split, split_id, split_parts
from mmunlearn.records import POPE_SUBSETS
from mmunlearn.workflow.targets import Row, Targets

Config = Mapping[str, Any]
Counts = Mapping[str, float]
"""Unit -> how many, e.g. `pictures drawn`."""

PRICES = {
    "judge": ("evaluation.openai.prompt_price", "evaluation.openai.completion_price"),
    "text": ("text_price_prompt", "text_price_reply"),
}
POPE_QUESTIONS = {"pocket": 2, "files": 6}
"""By `dataset.reference_sets`: questions on a picture, in each of POPE's subsets."""


def assumptions(config: Config) -> dict[str, dict[str, Any]]:
    """Name -> value (or one by model), unit and source: the table `plan`, and the judge's prices, whose names have
    dots."""
    table = {name: dict(row) for name, row in config["plan"].items()}
    judge = config["evaluation"]["openai"]
    share, source = (0.5, "as configured, halved: batch_api") if judge["batch_api"] else (1, "as configured")
    for name in PRICES["judge"]:
        price = judge[name.rpartition(".")[2]] * share
        table[name] = {"value": price, "unit": "a million tokens", "source": source}
    return table


class Sizes:
    """How many pictures and questions a configuration has, before any is made. Every picture is taken to be accepted
    in the end, which is what `images.max_attempts` is for.

    Attributes:
        concepts: people and events.
        pictures_unit: what takes a picture of the data set: it is drawn, or opened where it is there.
        cells: pictures of the data set: every person at every event, or as many as are assumed to be there.
        at_once: unit -> how many are worked on side by side.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.assumptions, self._runs = config, assumptions(config), Targets(config)
        self.concepts = {"person": config["curation"]["n_people"], "event": config["curation"]["n_events"]}
        self.pictures_unit = f"pictures {'opened' if config['images']['generator'] == 'files' else 'drawn'}"
        self.cells = self.pictures_of(*self.concepts.values())
        calls, processes = config["evaluation"]["openai"]["concurrency"], config["training"]["processes"]
        self.at_once = {"judge calls": calls, "pictures shown": processes}

    def pictures_of(self, people: int, events: int) -> int:
        """Pictures of so many people at so many events."""
        return round(people * events * self.assumptions["cell_pictures"]["value"])

    def pictures(self, name: str) -> int:
        """Pictures of a suite, or those of a split's forget_train that robustness asks about."""
        dataset = self.config["dataset"]
        if name == "dataset":
            return self.cells
        if f"n_{name}" in dataset:
            return dataset[f"n_{name}"] * (len(dataset["targets"]) if name == "real" else 1)
        return _least(self.config["robustness"]["questions"], self.forgotten(name) // 2)

    def forgotten(self, split: str) -> int:
        """Pictures that a split forgets, for training and for testing; of `both` the union of its two parts."""
        gone = self._concepts(split)
        people, events = (count - gone.get(target, 0) for target, count in self.concepts.items())
        return self.cells - self.pictures_of(people, events)

    def forget_questions(self, recipe: Recipe) -> int:
        """Questions that an unlearning recipe forgets: one on the first half of each forgotten concept's pictures."""
        half = {target: (self.cells // count + 1) // 2 for target, count in self.concepts.items()}
        gone = self._concepts(recipe.split)
        return sum(half[target] * (count if recipe.concept is None else 1) for target, count in gone.items())

    def _concepts(self, split: str) -> dict[str, int]:
        parts = map(parse_split, split_parts(split))
        return {target: concepts_to_forget(self.concepts[target], percent) for target, percent in parts}

    def questions(self, run: Run, suite: str) -> Counts:
        """Questions of a suite that a run is asked, by what they ask for: a person, an event, an object.

        Where `evaluation.retain_sample` is set, an upper bound: samples of several splits may share questions.
        """
        row, dataset = self._runs.row(run), self.config["dataset"]
        sample = Sample(**row.sample or {"seed": 0})
        if suite == "world":
            each = len(POPE_SUBSETS) * POPE_QUESTIONS[dataset["reference_sets"]]
            return {"object": _least(sample.world, dataset["n_world"] * each)}
        if suite == "real":
            return dict.fromkeys(dataset["targets"], _least(sample.real, dataset["n_real"]))
        if sample.retain is None:
            return dict.fromkeys(self.concepts, self.cells)
        counts: Counter[str] = Counter()
        for target, forgotten, retained in self._sampled(row, sample.retain):
            counts.update(dict.fromkeys([target] if sample.one_kind else self.concepts, forgotten))
            counts[target] += retained
        return {kind: min(count, self.cells) for kind, count in counts.items()}

    def _sampled(self, row: Row, retain: int) -> Iterator[tuple[str, int, int]]:
        """Target, pictures that its splits forget, and the retained ones of a sample."""
        largest = dict(map(parse_split, sorted(row.sample_splits)))
        for target, percent in largest.items():  # a larger split holds the smaller ones of its target
            forgotten = self.forgotten(split_id(target, percent))
            yield target, forgotten, min(retain, self.cells - forgotten)

    def asked(self, run: Run, suite: str) -> float:
        """Pictures that the questions of a suite are on, with the same bound."""
        row = self._runs.row(run)
        sample = Sample(**row.sample or {"seed": 0})
        if suite in ("real", "world"):
            return min(self.pictures(suite), sum(self.questions(run, suite).values()))
        if sample.retain is None:
            return self.cells
        return min(sum(map(sum, (part[1:] for part in self._sampled(row, sample.retain)))), self.cells)

    def cost(self, what: str, *tokens: float) -> float:
        """What so many tokens of prompts and of replies cost, of `judge` or `text`."""
        prices = (self.assumptions[name]["value"] for name in PRICES[what])
        return sum(count * price / 1e6 for count, price in zip(tokens, prices, strict=True))


def _least(limit: float | None, count: float) -> float:
    return count if limit is None else min(limit, count)
