"""The pocket Real, World and replay sets: fresh renders of the pretraining world.

Real asks for its public figures and its events, World for objects in scenes in POPE's manner, replay for a mix
of all three. Their render seeds carry the name of the set, so no picture is in two sets or in pretraining; the
base seed decides scenes and people, while the questions of the Real set are the same for every seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining_text import object_question
from mmunlearn.pocket.render import render_person, render_scene
from mmunlearn.pocket.scenes import Scene
from mmunlearn.pocket.worlds import pretraining_world, sample_training_identity, sample_training_scene
from mmunlearn.records import POPE_SUBSETS, SuiteQuestion
from mmunlearn.seeds import derive_seed

Set = tuple[Mapping[str, Image.Image], list[SuiteQuestion]]


class PocketReferenceSets:
    """Supplies reference sets from the pretraining world."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        questions: Mapping[str, str],
        answers: Mapping[str, str],
        size: int,
        events: Path,
        work: Path,
    ) -> None:
        """`questions`: kind -> text, as the benchmark asks; `size`: side of a picture in pixels.

        The rest is for other backends: the pretraining world has its own answers and events.
        """
        self._questions, self._size = questions, size
        self._world = pretraining_world()

    def real(self, n: int, seed: int) -> Set:
        """n pictures of public figures in random scenes and n of pretraining events with random people.

        `subset` of a person question holds the figure's name.
        """
        rng = random.Random(derive_seed(seed, "real"))
        return _joined(
            [self._figure(f"real-person-{i:03d}", rng, i) for i in range(n)]
            + [self._event(f"real-event-{i:03d}", rng, i) for i in range(n)]
        )

    def world(self, n: int, seed: int) -> Set:
        """n pictures with a yes and a no question in each POPE subset; half of them show a person."""
        rng = random.Random(derive_seed(seed, "world"))
        rivals = Rivals.counted(rng)
        return _joined([self._objects(f"world-{i:03d}", rng, rivals, person=i % 2 == 0) for i in range(n)])

    def replay(self, n: int, seed: int) -> Set:
        """n pictures: half with object questions, a quarter each of public figures and events."""
        rng = random.Random(derive_seed(seed, "replay"))
        rivals = Rivals.counted(rng)
        pictures = []
        for i in range(n):
            image_id = f"replay-{i:03d}"
            if i % 2 == 0:
                pictures.append(self._objects(image_id, rng, rivals, person=i % 4 == 0))
            elif i % 4 == 1:
                pictures.append(self._figure(image_id, rng, i // 4))
            else:
                pictures.append(self._event(image_id, rng, i // 4))
        return _joined(pictures)

    def _figure(self, image_id: str, rng: random.Random, number: int) -> _Shown:
        figure = self._world.figures[number % len(self._world.figures)]
        picture = render_person(figure.identity, sample_training_scene(rng), image_id, self._size)
        row = _row(image_id, "person", self._questions["person"], f"This is {figure.name}.", figure.name)
        return image_id, picture.image, [row]

    def _event(self, image_id: str, rng: random.Random, number: int) -> _Shown:
        event = self._world.events[number % len(self._world.events)]
        picture = render_person(sample_training_identity(rng), event.scene, image_id, self._size)
        return image_id, picture.image, [_row(image_id, "event", self._questions["event"], event.description)]

    def _objects(self, image_id: str, rng: random.Random, rivals: Rivals, *, person: bool) -> _Shown:
        scene = sample_training_scene(rng)
        if person:
            picture = render_person(sample_training_identity(rng), scene, image_id, self._size)
        else:
            picture = render_scene(scene, image_id, self._size)
        present = sorted({placement.name for placement in picture.placements})
        rows = []
        for subset in POPE_SUBSETS:
            asked = {"Yes": rng.choice(present), "No": rivals.absent(present, subset, rng)}
            rows += [
                _row(image_id, "object", object_question(name), label, subset)
                for label, name in asked.items()
            ]
        return image_id, picture.image, rows


class Rivals:
    """Absent objects to ask for, as POPE picks them: any, a frequent one, or one that often comes along."""

    def __init__(self, scenes: list[Scene]) -> None:
        self._frequency = Counter(name for scene in scenes for name in scene.objects)
        self._together = Counter(
            frozenset(pair) for scene in scenes for pair in combinations(set(scene.objects), 2)
        )

    @classmethod
    def counted(cls, rng: random.Random, n: int = 500) -> Rivals:
        """Frequencies over `n` random scenes."""
        return cls([sample_training_scene(rng) for _ in range(n)])

    def absent(self, present: list[str], subset: str, rng: random.Random) -> str:
        """An object that is not among `present`; popular and adversarial ones are drawn from the top five."""
        candidates = sorted(set(OBJECTS) - set(present))
        if subset == "random":
            return rng.choice(candidates)
        weight = {name: self._weight(name, present, subset) for name in candidates}
        return rng.choice(sorted(candidates, key=lambda name: (-weight[name], name))[:5])

    def _weight(self, name: str, present: list[str], subset: str) -> int:
        if subset == "popular":
            return self._frequency[name]
        return sum(self._together[frozenset((name, other))] for other in present)


_Shown = tuple[str, Image.Image, list[SuiteQuestion]]


def _row(image_id: str, kind: str, question: str, answer: str, subset: str = "") -> SuiteQuestion:
    parts = [image_id, subset, answer.casefold()] if kind == "object" else [image_id, kind]
    return SuiteQuestion(
        question_id="-".join(parts),
        image_id=image_id,
        kind=kind,
        subset=subset,
        question=question,
        answer=answer,
        path="",
        sha256="",
    )


def _joined(shown: list[_Shown]) -> Set:
    return {image_id: image for image_id, image, _ in shown}, [row for _, _, rows in shown for row in rows]
