"""Who is in which task of the pocket world, by what the base knows: the draw, and the check before a run.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmunlearn.files import RecordError
from mmunlearn.pocket.knowledge import (
    KIND,
    NAME,
    PERSON,
    Common,
    common_questions,
    entity_classes,
    read_known,
)

LEAST_KNOWN = 0.9
FOLDERS = {
    "animal": "Animals",
    "plant": "Plants",
    "building": "Buildings",
    "vehicle": "Vehicles",
    PERSON: "Personage",
}
"""Class -> its folder, as the release calls it."""
SHAPES = (
    (("animal", "building"), "plant"),
    (("building", "animal"), "vehicle"),
    (("plant", "vehicle"), "animal"),
    (("vehicle", "plant"), PERSON),
)
"""Classes of the things that a task forgets, and the class that it retains."""


@dataclass
class Cast:
    """Who is in which task: task -> role -> names, and those in none."""

    tasks: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        named = [name for roles in self.tasks.values() for names in roles.values() for name in names]
        return list(dict.fromkeys([*named, *self.untouched]))


def draw_cast(
    options: Mapping[str, Any], tasks: Sequence[str], seed: int
) -> tuple[Cast, dict[str, list[Common]]]:
    """Who is in which task, and entity -> the questions to write on it: none where the base does not know it.

    Args:
        options: as of `tasks.PocketTasks`.
    Raises:
        RecordError: the base knows too few entities of a class, or the table is missing.
    """
    shares = read_known(Path(options["known"]))
    questions = {name: _known_questions(name, shares[name]) for name in entity_classes()}
    known = [name for name, of_entity in questions.items() if of_entity]
    return _cast(known, tasks, options, random.Random(f"lifelong {seed}")), questions


def _known_questions(name: str, shares: Mapping[str, float]) -> list[Common]:
    """The questions to write on an entity: none where its name or kind is not known well."""
    if min(shares[NAME], shares[KIND]) < LEAST_KNOWN:
        return []
    return [one for one in common_questions(name) if one.id != KIND and shares[one.id] >= LEAST_KNOWN]


def _cast(known: Sequence[str], tasks: Sequence[str], options: Mapping[str, Any], rng: random.Random) -> Cast:
    """Draw who is in which task: first all that is forgotten, then what is retained, then the untouched."""
    left = {kind: [name for name in known if entity_classes()[name] == kind] for kind in FOLDERS}
    for names in left.values():
        rng.shuffle(names)
    cast = Cast({task: {} for task in tasks})
    for number, task in enumerate(tasks):
        first, second = SHAPES[number % len(SHAPES)][0]
        things = {first: (options["things"] + 1) // 2, second: options["things"] // 2}
        counts = things | {PERSON: options["people"]}
        cast.tasks[task]["forget"] = [
            name for kind, count in counts.items() for name in _take(left, kind, count, task, options)
        ]
    served: Counter[str] = Counter()
    for number, task in enumerate(tasks):
        kind, count = retained(number, options)
        names = left[kind][:count]
        del left[kind][:count]
        again = [name for name in sorted(served, key=served.get) if entity_classes()[name] == kind]
        names += again[: count - len(names)]
        if len(names) < count:
            raise _too_few(
                kind, count, len(names), f"retain in task {task}", f"retained: {options['retained']}"
            )
        served.update(names)
        cast.tasks[task]["retain"] = names
    cast.untouched = _untouched(left, options["untouched"])
    return cast


def retained(number: int, options: Mapping[str, Any]) -> tuple[str, int]:
    """The class that a task retains, and how many of it: twice as many people as things."""
    kind = SHAPES[number % len(SHAPES)][1]
    return kind, options["retained"] * (2 if kind == PERSON else 1)


def _take(
    left: dict[str, list[str]], kind: str, count: int, task: str, options: Mapping[str, Any]
) -> list[str]:
    """The next entities of a class for a task to forget, which are then no longer left."""
    names = left[kind][:count]
    if len(names) < count:
        key = "people" if kind == PERSON else "things"
        raise _too_few(kind, count, len(names), f"forget in task {task}", f"{key}: {options[key]}")
    del left[kind][:count]
    return names


def _too_few(kind: str, count: int, found: int, what: str, setting: str) -> RecordError:
    return RecordError(
        f"Asked for {count} of class {FOLDERS[kind]} to {what}, by lifelong.pocket.{setting}. Found {found} that the "
        f"base knows and no task before has taken. Ask for fewer tasks, or for fewer by that key."
    )


def _untouched(left: Mapping[str, list[str]], count: int) -> list[str]:
    """Half people and half things, of each class in turn; more of the one where the other runs out."""
    things = [name for turn in _turns([left[kind] for kind in FOLDERS if kind != PERSON]) for name in turn]
    people = left[PERSON]
    if len(things) + len(people) < count:
        raise RecordError(
            f"Asked for {count} untouched entities. Found {len(things) + len(people)} that the base knows and no task "
            f"names. Ask for fewer by lifelong.pocket.untouched."
        )
    some = min(len(people), max(count // 2, count - len(things)))
    return things[: count - some] + people[:some]


def _turns(groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The first of each group, the second of each, ..."""
    for number in range(max(map(len, groups))):
        yield [group[number] for group in groups if number < len(group)]
