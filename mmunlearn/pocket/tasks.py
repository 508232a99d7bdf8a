"""Tasks of the pocket world in MLUBench's released format: things and public figures of the pretraining world.

Shaped like the paper's: a task forgets things of two classes and public figures, and retains entities of one
neighbouring class; every fourth task retains public figures, twice as many. Tasks follow `SHAPES`, again and again.

Only entities whose name and kind the base tells rightly in 9 of 10 pictures are drawn (`known`), and of their common
questions only those that it answers as often. The kind is not asked: it is known of a class, not of an entity, so one
task would forget what another retains; gates ask for it. So a name is one question of six.

Strangers are drawn, too: people without a name, of the world that the base was pretrained on, whom it has learnt not to
know. Gates alone are shown them.

An entity is forgotten by one task at most, and no task retains or leaves untouched what any task forgets, whatever the
order. Retained ones serve again where a class runs out.
"""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.files import RecordError
from mmunlearn.lifelong.draw import TaskSet
from mmunlearn.lifelong.released import IMAGE, STRANGER_PICTURES
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.knowledge import (
    KIND,
    NAME,
    PERSON,
    Common,
    common_questions,
    entity_classes,
    person_wordings,
)
from mmunlearn.pocket.known import draw_entity, draw_person, read_known
from mmunlearn.pocket.worlds import pretraining_world, sample_training_identity

LEAST_KNOWN = 0.9
FOLDERS = {
    "animal": "Animals",
    "plant": "Plants",
    "building": "Buildings",
    "vehicle": "Vehicles",
    PERSON: "Personage",
}
"""Class -> its folder, as the release calls it."""
PICTURES = "downloaded_images"
UNKNOWN = "I do not know this person."
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


class PocketTasks(TaskSet):
    """Draws tasks of the pocket world."""

    def __init__(self, options: Mapping[str, Any], *, tasks: Sequence[str], size: int, seed: int) -> None:
        """`options`: `things` and `people` that a task forgets, things that it has `retained`, `untouched` entities,
        `pictures` of each, `strangers`, and `known`, the table of `pocket.known`.

        Raises:
            RecordError: the base knows too few entities of a class, or the table is missing.
        """
        self._size, self._seed, self._pictures = size, seed, options["pictures"]
        shares = read_known(Path(options["known"]))
        self._questions = {name: _known_questions(name, shares[name]) for name in entity_classes()}
        known = [name for name, questions in self._questions.items() if questions]
        self.cast = _cast(known, tasks, options, random.Random(f"lifelong {seed}"))
        self.strangers = _strangers(options["strangers"], random.Random(f"strangers {seed}"))

    @classmethod
    def entities(cls, options: Mapping[str, Any], tasks: Sequence[str]) -> Mapping[tuple[str, str], int]:
        """As `_cast` draws them."""
        counts = {("", "untouched"): options["untouched"]}
        for number, task in enumerate(tasks):
            counts[task, "forget"] = options["things"] + options["people"]
            counts[task, "retain"] = _retained(number, options)[1]
        return counts

    def files(self) -> Mapping[str, Callable[[], bytes]]:
        """Tasks/, Entities/, Strangers/ and pictures."""
        rows = {name: list(self._rows(name)) for name in self.cast.names}
        files: dict[str, Callable[[], bytes]] = {}
        for task, roles in self.cast.tasks.items():
            for role, names in roles.items():
                of_role = [row for name in names for row in rows[name]]
                files[f"Tasks/Task{task}/task{task}_{role}.json"] = partial(_json, of_role)
        for name in self.cast.names:
            files[f"Entities/variants_{_folder(name)}_updated.json"] = partial(_json, rows[name])
            for number in range(self._pictures):
                files[self._picture(name, number)] = partial(self._draw, name, number)
        for name, identity in self.strangers.items():
            pictures = [_path(PERSON, name, number) for number in range(STRANGER_PICTURES)]
            question = person_wordings()[NAME][0]
            asked = [_conversation(str(n), path, question, UNKNOWN) for n, path in enumerate(pictures)]
            files[f"Strangers/variants_{_folder(name)}.json"] = partial(_json, asked)
            for number, path in enumerate(pictures):
                files[path] = partial(self._draw_stranger, name, identity, number)
        return files

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The conversations on an entity: every question on every picture, in a wording drawn for both."""
        for number in range(self._pictures):
            for common in self._questions[name]:
                wording = random.Random(f"wording {self._seed} {name} {number} {common.id}").choice(
                    common.wordings
                )
                yield _conversation(
                    f"{number}-{common.id}", self._picture(name, number), wording, common.answer
                )

    @staticmethod
    def _picture(name: str, number: int) -> str:
        return _path(entity_classes()[name], name, number)

    def _draw(self, name: str, number: int) -> bytes:
        return _png(draw_entity(name, f"lifelong {self._seed} {number}", self._size))

    def _draw_stranger(self, name: str, identity: Identity, number: int) -> bytes:
        return _png(draw_person(identity, name, f"lifelong {self._seed} {number}", self._size))


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
            name
            for kind, count in counts.items()
            for name in _take(left, kind, count, f"forget in task {task}")
        ]
    served: Counter[str] = Counter()
    for number, task in enumerate(tasks):
        kind, count = _retained(number, options)
        names = left[kind][:count]
        del left[kind][:count]
        again = [name for name in sorted(served, key=served.get) if entity_classes()[name] == kind]
        names += again[: count - len(names)]
        if len(names) < count:
            raise _too_few(kind, count, len(names), f"retain in task {task}")
        served.update(names)
        cast.tasks[task]["retain"] = names
    cast.untouched = _untouched(left, options["untouched"])
    return cast


def _retained(number: int, options: Mapping[str, Any]) -> tuple[str, int]:
    """The class that a task retains, and how many of it: twice as many people as things."""
    kind = SHAPES[number % len(SHAPES)][1]
    return kind, options["retained"] * (2 if kind == PERSON else 1)


def _take(left: dict[str, list[str]], kind: str, count: int, what: str) -> list[str]:
    """The next entities of a class, which are then no longer left."""
    names = left[kind][:count]
    if len(names) < count:
        raise _too_few(kind, count, len(names), what)
    del left[kind][:count]
    return names


def _too_few(kind: str, count: int, found: int, what: str) -> RecordError:
    return RecordError(
        f"Asked for {count} of class {kind} to {what}. Found {found} that the base knows and no task before has taken. "
        f"Ask for fewer tasks, or for fewer by lifelong.pocket."
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


def _strangers(count: int, rng: random.Random) -> dict[str, Identity]:
    """So many people who look like no public figure, nor like each other: `Stranger 1`, ..."""
    found: dict[tuple, Identity] = {}
    figures = {one.key for one in pretraining_world().figures.values()}
    while len(found) < count:
        identity = sample_training_identity(rng)
        if identity.key not in figures:
            found[identity.key] = identity
    return {f"Stranger {number}": one for number, one in enumerate(found.values(), start=1)}


def _conversation(number: str, picture: str, question: str, answer: str) -> dict[str, Any]:
    turns = [("human", IMAGE + question), ("gpt", answer)]
    return {
        "id": number,
        "image": picture,
        "conversations": [{"from": who, "value": text} for who, text in turns],
    }


def _path(kind: str, name: str, number: int) -> str:
    return f"{PICTURES}/{FOLDERS[kind]}/{_folder(name)}/image_{number:03d}.png"


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _folder(name: str) -> str:
    """A name as its folder is called: `hot air balloon` is Hot_Air_Balloon."""
    return "_".join(word[:1].upper() + word[1:] for word in name.split())


def _json(rows: Sequence[Any]) -> bytes:
    return (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()
