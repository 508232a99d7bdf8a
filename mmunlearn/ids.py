"""The grammar of ids: concepts, images, questions, candidates, splits, recipes and runs are written and parsed here.

    concept    p017 (a person), e05 (an event): letters and digits
    image      <person>-<event>, e.g. p017-e05; further pictures of the two, p017-e05_2 and so on
               pictures of other sets: <set>-<three digits>, of Real with the kind between, e.g. real-person-001
    question   <image>-<kind>, e.g. p017-e05-event
    candidate  <image>-a<attempt, two digits>
    split      <target><percent, two digits>, e.g. person05; `both05` is forgotten as person05 and event05
    recipe     finetuned, goal-<split>, <method>-<split>, and of the latter
               <method>-<split>@<step>: the same after so many optimizer steps (Figure 7)
               <method>-<split>-<number>: the split's concept of that number alone (Figure 9)
    run        <model>/<recipe>/seed-<n>: the folder of a trained model, of its answers and of its scores

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

TARGETS = ("person", "event")
"""What can be forgotten; also the kinds of the data set's questions."""
FINETUNED, GOAL = "finetuned", "goal"

MODEL = r"[a-z0-9.-]+"
METHOD = r"[a-z0-9+]+"
SPLIT = r"(person|event|both)[0-9]{2}"
UNLEARNED = rf"(?!goal-){METHOD}-{SPLIT}(-[0-9]+)?"
"""Recipes that are unlearned to their end."""
WHOLE = rf"{FINETUNED}|{METHOD}-{SPLIT}"
"""Recipes that tables show."""
RECIPE = rf"{FINETUNED}|{METHOD}-{SPLIT}(@[0-9]+|-[0-9]+)?"


class IdError(ValueError):
    """A name that does not follow the grammar; the message says what is expected."""


def person_id(number: int) -> str:
    """A person of the benchmark."""
    return f"p{number:03d}"


def event_id(number: int) -> str:
    """An event of the benchmark."""
    return f"e{number:02d}"


def image_id(person_id: str, event_id: str, number: int = 1) -> str:
    """The picture of a person at an event; the second and later ones have their number behind it."""
    return f"{person_id}-{event_id}" + (f"_{number}" if number > 1 else "")


def concepts_of(image: str) -> tuple[str, str]:
    """Person and event id of a picture of the data set. Raises IdError for others."""
    person, _, rest = image.partition("-")
    event, mark, number = rest.partition("_")
    if not person or not event.isalnum() or (mark and not number.isdecimal()):
        raise IdError(f"'{image}' is no image id: expected <person>-<event>, e.g. p017-e05, or p017-e05_2")
    return person, event


def set_image_id(name: str, number: int, kind: str = "") -> str:
    """A picture of the Real, World or replay set."""
    return "-".join(filter(None, [name, kind, f"{number:03d}"]))


def question_id(image: str, kind: str) -> str:
    """The question of a kind on a picture."""
    return f"{image}-{kind}"


def kind_of(question: str) -> str:
    """`person` or `event` by a question's id, `object` where it names neither."""
    kind = question.rpartition("-")[2]
    return kind if kind in TARGETS else "object"


def candidate_id(image: str, attempt: int) -> str:
    """One attempt at a picture."""
    return f"{image}-a{attempt:02d}"


def shard_id(number: int) -> str:
    """A block of people that one job draws."""
    return f"{number:03d}"


def split_id(target: str, percent: int) -> str:
    """The split that forgets a share of a target's concepts."""
    return f"{target}{percent:02d}"


def parse_split(name: str) -> tuple[str, int]:
    """Target and percent of a split: `person05` is ("person", 5). Raises IdError for other names."""
    if not re.fullmatch(SPLIT, name):
        raise IdError(f"'{name}' is no split: expected <target><two digits>, e.g. person05")
    return name[:-2], int(name[-2:])


def split_parts(name: str) -> list[str]:
    """The splits of one target that a split is made of: two of `both`, any other is its own."""
    target, percent = parse_split(name)
    return [split_id(one, percent) for one in (TARGETS if target == "both" else (target,))]


def recipe_id(method: str, split: str, *, step: int | None = None, concept: int | None = None) -> str:
    """The recipe of a method (or `goal`) on a split, after a step, or of one of its concepts alone."""
    parts = [f"@{step}" if step is not None else "", f"-{concept}" if concept is not None else ""]
    return "".join([method, "-", split, *parts])


@dataclass(frozen=True)
class Recipe:
    """How a model is made; `step` and `concept` are None but for Figures 7 and 9."""

    method: str
    target: str | None = None
    percent: int | None = None
    step: int | None = None
    concept: int | None = None

    @property
    def split(self) -> str:
        """The split that is forgotten; `finetuned` has none."""
        return split_id(self.target, self.percent)

    @property
    def name(self) -> str:
        """The recipe's id."""
        if self.target is None:
            return self.method
        return recipe_id(self.method, self.split, step=self.step, concept=self.concept)

    @property
    def whole(self) -> Recipe:
        """The recipe whose steps this one is part of: itself where it has no step."""
        return replace(self, step=None)


def parse_recipe(name: str) -> Recipe:
    """The recipe of a name. Raises IdError where it is none."""
    if name == FINETUNED:
        return Recipe(name)
    match = re.fullmatch(rf"({METHOD})-({SPLIT})(?:@([0-9]+)|-([0-9]+))?", name)
    if not match:
        raise IdError(f"'{name}' is no recipe: expected finetuned or <method>-<target><two digits>")
    method, split, _, step, concept = match.groups()
    numbers = {"step": step and int(step), "concept": concept and int(concept)}
    return Recipe(method, *parse_split(split), **numbers)


class Run(NamedTuple):
    """One trained model: a base model, a recipe and a seed."""

    model: str
    recipe: str
    seed: int

    @property
    def folder(self) -> str:
        """Where its files lie, below `models/`, `answers/`, `scores/` and the others."""
        return f"{self.model}/{self.recipe}/seed-{self.seed}"

    @classmethod
    def of(cls, path: str | Path) -> Run:
        """The run that a file belongs to. Raises IdError where its path names none."""
        parts = Path(path).parts
        for place in range(len(parts) - 1, 1, -1):
            if re.fullmatch("seed-[0-9]+", parts[place]):
                return cls(*parts[place - 2 : place], int(parts[place].removeprefix("seed-")))
        raise IdError(f"{path} belongs to no run: expected <model>/<recipe>/seed-<n> in its path")
