"""How many pictures and questions a configuration has: arithmetic on its numbers, before anything is made.

Every picture is taken to be accepted in the end, which is what `images.max_attempts` is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.ids import Recipe, parse_split
from mmunlearn.ids import split_parts as parts
from mmunlearn.records import POPE_SUBSETS

Config = Mapping[str, Any]
POPE_QUESTIONS = {
    "pocket": 2,
    "files": 6,
}  # by dataset.reference_sets: on a picture, in each of POPE's subsets


def cells(config: Config) -> int:
    """Pictures of the data set: every person at every event."""
    return config["curation"]["n_people"] * config["curation"]["n_events"]


def candidates(config: Config, acceptance: float) -> float:
    """Pictures that are expected to be drawn for all cells, where a share `acceptance` of them is valid.

    Draws are made in units of one picture (`images.stop_at_first_valid`) or of `images.candidates`, until one is valid
    or `images.max_attempts` are reached. Unit k + 1 is drawn when k units had no valid picture, so a cell takes
    unit * sum over k of (1 - acceptance)^(unit k).
    """
    images = config["images"]
    unit = 1 if images["stop_at_first_valid"] else images["candidates"]
    units = images["max_attempts"] // unit
    return cells(config) * unit * sum((1 - acceptance) ** (unit * k) for k in range(units))


def shard_people(config: Config, shard: int) -> int:
    """People whose pictures a shard draws; the last shard may have fewer."""
    size = config["images"]["people_per_shard"]
    return min(size, config["curation"]["n_people"] - shard * size)


def suite_pictures(config: Config, suite: str) -> int:
    """Pictures of `dataset`, `real`, `world` or `replay`."""
    dataset = config["dataset"]
    return {
        "dataset": cells(config),
        "real": dataset["n_real"] * len(dataset["targets"]),
        "world": dataset["n_world"],
        "replay": dataset["n_replay"],
    }[suite]


def world_questions(config: Config) -> int:
    """Yes/no questions of the World set."""
    dataset = config["dataset"]
    return dataset["n_world"] * len(POPE_SUBSETS) * POPE_QUESTIONS[dataset["reference_sets"]]


def forgotten_concepts(config: Config, split: str) -> int:
    """People or events that a split of one target forgets."""
    target, percent = parse_split(split)
    curation = config["curation"]
    return concepts_to_forget(curation["n_people" if target == "person" else "n_events"], percent)


def pictures_each(config: Config, split: str) -> int:
    """Pictures of one concept of a split's target: a person's at every event, or an event's of every person."""
    return config["curation"]["n_events" if parse_split(split)[0] == "person" else "n_people"]


def forgotten_pictures(config: Config, split: str) -> int:
    """Pictures that a split forgets, for training and for testing; of `both` the union of its two parts."""
    own = [forgotten_concepts(config, part) for part in parts(split)]
    if len(own) == 1:
        return own[0] * pictures_each(config, split)
    people, events = own
    each = [pictures_each(config, part) for part in parts(split)]
    return people * each[0] + events * each[1] - people * events


def forget_questions(config: Config, recipe: Recipe) -> int:
    """Questions that an unlearning recipe forgets: one on the first half of each forgotten concept's pictures."""
    total = 0
    for part in parts(recipe.split):
        concepts = 1 if recipe.concept is not None else forgotten_concepts(config, part)
        total += concepts * ((pictures_each(config, part) + 1) // 2)
    return total


def attacked_pictures(config: Config, split: str) -> int:
    """Pictures of forget_train and forget_test that robustness asks about, an equal share of each."""
    each, wanted = forgotten_pictures(config, split) // 2, config["robustness"]["questions"]
    return 2 * (each if wanted is None else min(each, wanted))


def judge_cases(config: Config, split: str) -> int:
    """Sentences that one judge_answers job compares: the event answers on the split's forgotten pictures."""
    return forgotten_pictures(config, split)


def asked(config: Config, recipe: Recipe) -> dict[str, int]:
    """Questions that a recipe's model is asked, by what they ask for: a person, an event, an object.

    All of them, but fewer after k steps (Figure 7) and of one concept alone (Figure 9), see rules/evaluation.smk. Where
    `evaluation.retain_sample` is set, the count is an upper bound: samples of several splits may share questions.
    """
    dataset, targets = config["dataset"], config["dataset"]["targets"]
    real = dict.fromkeys(targets, dataset["n_real"])
    world, retain = world_questions(config), config["evaluation"].get("retain_sample")
    if recipe.concept is not None:
        names = [f"{target}{recipe.percent:02d}" for target in targets]
        return _by_kind({parse_split(name)[0]: forgotten_pictures(config, name) for name in names}, {}, 0)
    if recipe.step is not None:
        retain = config["figures"]["questions"]
        real = {target: min(retain, count) for target, count in real.items()}
        world = min(retain, world)
    if retain is None:
        return _by_kind(dict.fromkeys(("person", "event"), cells(config)), real, world)
    own = parts(recipe.split) if recipe.target else _largest(config)
    total = dict.fromkeys(("person", "event"), 0)
    for name in own:
        target, forgotten = parse_split(name)[0], forgotten_pictures(config, name)
        for kind in total:
            total[kind] += forgotten
        total[target] += min(retain, cells(config) - forgotten)
    return _by_kind({kind: min(count, cells(config)) for kind, count in total.items()}, real, world)


def _largest(config: Config) -> list[str]:
    dataset = config["dataset"]
    return [f"{target}{max(dataset['percents']):02d}" for target in dataset["targets"]]


def _by_kind(own: Mapping[str, int], real: Mapping[str, int], world: int) -> dict[str, int]:
    kinds = {kind: own.get(kind, 0) + real.get(kind, 0) for kind in ("person", "event")}
    return {**kinds, "object": world}
