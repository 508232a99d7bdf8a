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

from mmunlearn.dataset.protocol import ReferenceSets, suite_question
from mmunlearn.ids import set_image_id
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining_text import NO, YES, object_question
from mmunlearn.pocket.render import render_person, render_scene
from mmunlearn.pocket.worlds import pretraining_world, sample_training_identity, sample_training_scene
from mmunlearn.records import POPE_SUBSETS, SuiteQuestion
from mmunlearn.seeds import derive_seed

Set = tuple[Mapping[str, Image.Image], list[SuiteQuestion]]


class PocketReferenceSets(ReferenceSets):
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
        world = pretraining_world()
        self._figures, self._events = list(world.figures.items()), list(world.events.items())

    def real(self, n: int, seed: int) -> Set:
        """n pictures of public figures in random scenes and n of pretraining events with random people.

        `subset` of a person question holds the figure's name.
        """
        rng = random.Random(derive_seed(seed, "real"))
        return _joined(
            [self._figure(set_image_id("real", i, "person"), rng, i) for i in range(n)]
            + [self._event(set_image_id("real", i, "event"), rng, i) for i in range(n)]
        )

    def world(self, n: int, seed: int) -> Set:
        """n pictures with a yes and a no question in each POPE subset; half of them show a person."""
        rng = random.Random(derive_seed(seed, "world"))
        negatives = NegativeSampler(rng)
        return _joined(
            [self._objects(set_image_id("world", i), rng, negatives, person=i % 2 == 0) for i in range(n)]
        )

    def replay(self, n: int, seed: int) -> Set:
        """n pictures: half with object questions, a quarter each of public figures and events."""
        rng = random.Random(derive_seed(seed, "replay"))
        negatives = NegativeSampler(rng)
        pictures = []
        for i in range(n):
            image_id = set_image_id("replay", i)
            if i % 2 == 0:
                pictures.append(self._objects(image_id, rng, negatives, person=i % 4 == 0))
            elif i % 4 == 1:
                pictures.append(self._figure(image_id, rng, i // 4))
            else:
                pictures.append(self._event(image_id, rng, i // 4))
        return _joined(pictures)

    def _figure(self, image_id: str, rng: random.Random, number: int) -> _Entry:
        name, identity = self._figures[number % len(self._figures)]
        picture = render_person(identity, sample_training_scene(rng), image_id, self._size)
        row = suite_question(image_id, "person", self._questions["person"], f"This is {name}.", name)
        return image_id, picture.image, [row]

    def _event(self, image_id: str, rng: random.Random, number: int) -> _Entry:
        sentence, scene = self._events[number % len(self._events)]
        picture = render_person(sample_training_identity(rng), scene, image_id, self._size)
        return (
            image_id,
            picture.image,
            [suite_question(image_id, "event", self._questions["event"], sentence)],
        )

    def _objects(
        self, image_id: str, rng: random.Random, negatives: NegativeSampler, *, person: bool
    ) -> _Entry:
        scene = sample_training_scene(rng)
        if person:
            picture = render_person(sample_training_identity(rng), scene, image_id, self._size)
        else:
            picture = render_scene(scene, image_id, self._size)
        present = sorted({placement.name for placement in picture.placements})
        rows = []
        for subset in POPE_SUBSETS:
            objects = {YES: rng.choice(present), NO: negatives.sample(present, subset, rng)}
            rows += [
                suite_question(
                    image_id, "object", object_question(name), answer, subset, f"{subset}-{answer.casefold()}"
                )
                for answer, name in objects.items()
            ]
        return image_id, picture.image, rows


class NegativeSampler:
    """Samples absent objects as POPE does: any, a frequent one, or one that often comes along.

    Frequencies are those of `n` random scenes.
    """

    def __init__(self, rng: random.Random, n: int = 500) -> None:
        scenes = [sample_training_scene(rng) for _ in range(n)]
        self._frequency = Counter(name for scene in scenes for name in scene.objects)
        self._together = Counter(
            frozenset(pair) for scene in scenes for pair in combinations(set(scene.objects), 2)
        )

    def sample(self, present: list[str], subset: str, rng: random.Random) -> str:
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


_Entry = tuple[str, Image.Image, list[SuiteQuestion]]


def _joined(entries: list[_Entry]) -> Set:
    return {image_id: image for image_id, image, _ in entries}, [
        row for _, _, rows in entries for row in rows
    ]
