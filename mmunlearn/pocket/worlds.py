"""The three disjoint worlds: the benchmark's, the one for pretraining and the one for calibration.

No identity and no scene of one world occurs in another; ``sample_training_identity`` and
``sample_training_scene`` draw the anonymous rest of the pretraining world.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from mmunlearn.pocket import identities, scenes
from mmunlearn.pocket.entities import entity_questions
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.resources import read_rows
from mmunlearn.pocket.scenes import Scene

_Item = TypeVar("_Item", Identity, Scene)
_CALIBRATION_SHARE = 8


@dataclass(frozen=True)
class PretrainingWorld:
    """Everything with a name that the base model learns, each in file order.

    Attributes:
        figures: name of a public figure -> looks.
        events: sentence about an event -> scene.
        entities: name of an entity -> pairs of a question and its answer.
    """

    figures: dict[str, Identity]
    events: dict[str, Scene]
    entities: dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class CalibrationWorld:
    """Identities and scenes to set thresholds on, unseen in pretraining and in the benchmark."""

    identities: tuple[Identity, ...]
    scenes: tuple[Scene, ...]


@cache
def benchmark_identities() -> tuple[Identity, ...]:
    """Return the benchmark people's identities in the order of ``people.jsonl``."""
    return tuple(identities.from_json(row["identity"]) for row in read_rows("people.jsonl"))


@cache
def benchmark_scenes() -> tuple[Scene, ...]:
    """Return the benchmark events' scenes in the order of ``events.jsonl``."""
    return tuple(scenes.from_json(row["scene"]) for row in read_rows("events.jsonl"))


@cache
def pretraining_world() -> PretrainingWorld:
    """Read the pretraining world."""
    return PretrainingWorld(
        {row["name"]: identities.from_json(row["identity"]) for row in read_rows("figures.jsonl")},
        {row["description"]: scenes.from_json(row["scene"]) for row in read_rows("pretraining_events.jsonl")},
        entity_questions(),
    )


def calibration_world(n_people: int, n_scenes: int, seed: int) -> CalibrationWorld:
    """Sample distinct identities and scenes from the part of the space set aside for calibration."""
    rng, world = random.Random(f"calibration {seed}"), pretraining_world()
    named = _benchmark_keys() | {item.key for item in (*world.figures.values(), *world.events.values())}
    return CalibrationWorld(
        _distinct(n_people, lambda: _sample(identities.sample_identity, rng, named, calibration=True)),
        _distinct(n_scenes, lambda: _sample(scenes.sample_scene, rng, named, calibration=True)),
    )


def sample_training_identity(rng: random.Random) -> Identity:
    """Draw an identity that is in neither the benchmark nor the part set aside for calibration."""
    return _sample(identities.sample_identity, rng, _benchmark_keys(), calibration=False)


def sample_training_scene(rng: random.Random) -> Scene:
    """Draw a scene that is in neither the benchmark nor the part set aside for calibration."""
    return _sample(scenes.sample_scene, rng, _benchmark_keys(), calibration=False)


def _sample(
    draw: Callable[[random.Random], _Item], rng: random.Random, excluded: frozenset, calibration: bool
) -> _Item:
    """Draw until an item is not excluded and belongs to calibration, or not: one in eight does, by its CRC-32."""
    while True:
        item = draw(rng)
        aside = zlib.crc32(repr(item.key).encode()) % _CALIBRATION_SHARE == 0
        if item.key not in excluded and aside == calibration:
            return item


def _distinct(count: int, draw: Callable[[], _Item]) -> tuple[_Item, ...]:
    items: dict[tuple, _Item] = {}
    while len(items) < count:
        item = draw()
        items.setdefault(item.key, item)
    return tuple(items.values())


@cache
def _benchmark_keys() -> frozenset:
    return frozenset(item.key for item in (*benchmark_identities(), *benchmark_scenes()))
