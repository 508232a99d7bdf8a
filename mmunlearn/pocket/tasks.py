"""Tasks of the pocket world in MLUBench's released format: things and public figures of the pretraining world.

Shaped like the paper's: a task forgets things of two classes and public figures, and retains entities of one
neighbouring class; every fourth task retains public figures, twice as many. Tasks follow `cast.SHAPES`,
again and again.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image

from mmunlearn.lifelong.draw import TaskSet
from mmunlearn.lifelong.released import IMAGE, STRANGER_PICTURES
from mmunlearn.pocket.cast import FOLDERS, draw_cast, retained
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.knowledge import NAME, PERSON, entity_classes, person_wordings
from mmunlearn.pocket.known import draw_entity, draw_person
from mmunlearn.pocket.worlds import pretraining_world, sample_training_identity

PICTURES = "downloaded_images"
UNKNOWN = "I do not know this person."


class PocketTasks(TaskSet):
    """Draws tasks of the pocket world."""

    def __init__(self, options: Mapping[str, Any], *, tasks: Sequence[str], size: int, seed: int) -> None:
        """`options`: `things` and `people` that a task forgets, things that it has `retained`, `untouched` entities,
        `pictures` of each, `strangers`, and `known`, the table of `pocket.known`.

        Raises:
            RecordError: the base knows too few entities of a class, or the table is missing.
        """
        self._size, self._seed, self._pictures = size, seed, options["pictures"]
        self.cast, self._questions = draw_cast(options, tasks, seed)
        self.strangers = _strangers(options["strangers"], random.Random(f"strangers {seed}"))

    @classmethod
    def entities(cls, options: Mapping[str, Any], tasks: Sequence[str]) -> Mapping[tuple[str, str], int]:
        """As `draw_cast` draws them."""
        counts = {("", "untouched"): options["untouched"]}
        for number, task in enumerate(tasks):
            counts[task, "forget"] = options["things"] + options["people"]
            counts[task, "retain"] = retained(number, options)[1]
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
