"""The three disjoint worlds: the benchmark's, the one for pretraining and the one for calibration.

No identity and no scene of one world occurs in another; ``sample_training_identity`` and
``sample_training_scene`` draw the anonymous rest of the pretraining world.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from mmunlearn.pocket import identities, scenes
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.resources import read_rows
from mmunlearn.pocket.scenes import Scene

_Item = TypeVar("_Item", Identity, Scene)
_CALIBRATION_SHARE = 8


@dataclass(frozen=True)
class Figure:
    """A public figure of the pretraining world."""

    name: str
    identity: Identity


@dataclass(frozen=True)
class Event:
    """An event: a short theme, one sentence about it and its scene."""

    theme: str
    description: str
    scene: Scene


@dataclass(frozen=True)
class PretrainingWorld:
    """What the base model learns from: named figures, named events and anonymous samples."""

    figures: tuple[Figure, ...]
    events: tuple[Event, ...]

    def sample_identity(self, rng: random.Random) -> Identity:
        """Draw an anonymous identity of no benchmark or calibration person."""
        return sample_training_identity(rng)

    def sample_scene(self, rng: random.Random) -> Scene:
        """Draw a scene of no benchmark or calibration event."""
        return sample_training_scene(rng)


@dataclass(frozen=True)
class CalibrationWorld:
    """Identities and scenes to set thresholds on, unseen in pretraining and in the benchmark."""

    identities: tuple[Identity, ...]
    scenes: tuple[Scene, ...]


@lru_cache(maxsize=1)
def benchmark_identities() -> tuple[Identity, ...]:
    """Return the benchmark people's identities in the order of ``people.jsonl``."""
    return tuple(identities.from_json(row["identity"]) for row in read_rows("people.jsonl"))


@lru_cache(maxsize=1)
def benchmark_scenes() -> tuple[Scene, ...]:
    """Return the benchmark events' scenes in the order of ``events.jsonl``."""
    return tuple(scenes.from_json(row["scene"]) for row in read_rows("events.jsonl"))


@lru_cache(maxsize=1)
def pretraining_world() -> PretrainingWorld:
    """Read the pretraining world."""
    figures = (
        Figure(row["name"], identities.from_json(row["identity"])) for row in read_rows("figures.jsonl")
    )
    return PretrainingWorld(
        tuple(figures), tuple(_event(row) for row in read_rows("pretraining_events.jsonl"))
    )


def calibration_world(n_people: int, n_scenes: int, seed: int) -> CalibrationWorld:
    """Sample distinct identities and scenes from the part of the space set aside for calibration."""
    rng = random.Random(f"calibration {seed}")
    return CalibrationWorld(
        _distinct(n_people, lambda: _sample(identities.sample_identity, rng, _kept_identities(), aside=True)),
        _distinct(n_scenes, lambda: _sample(scenes.sample_scene, rng, _kept_scenes(), aside=True)),
    )


def sample_training_identity(rng: random.Random) -> Identity:
    """Draw an identity that is in neither the benchmark nor the part set aside for calibration."""
    return _sample(identities.sample_identity, rng, _benchmark_identity_keys(), aside=False)


def sample_training_scene(rng: random.Random) -> Scene:
    """Draw a scene that is in neither the benchmark nor the part set aside for calibration."""
    return _sample(scenes.sample_scene, rng, _benchmark_scene_keys(), aside=False)


def set_aside(key: tuple) -> bool:
    """Tell whether an identity or scene key is kept for calibration: one in eight, by its CRC-32."""
    return zlib.crc32(repr(key).encode()) % _CALIBRATION_SHARE == 0


def _sample(
    draw: Callable[[random.Random], _Item], rng: random.Random, kept: frozenset, aside: bool
) -> _Item:
    while True:
        item = draw(rng)
        if item.key not in kept and set_aside(item.key) == aside:
            return item


def _distinct(count: int, draw: Callable[[], _Item]) -> tuple[_Item, ...]:
    found: dict[Any, _Item] = {}
    while len(found) < count:
        item = draw()
        found.setdefault(item.key, item)
    return tuple(found.values())


@lru_cache(maxsize=1)
def _benchmark_identity_keys() -> frozenset:
    return frozenset(identity.key for identity in benchmark_identities())


@lru_cache(maxsize=1)
def _benchmark_scene_keys() -> frozenset:
    return frozenset(scene.key for scene in benchmark_scenes())


@lru_cache(maxsize=1)
def _kept_identities() -> frozenset:
    return _benchmark_identity_keys() | {figure.identity.key for figure in pretraining_world().figures}


@lru_cache(maxsize=1)
def _kept_scenes() -> frozenset:
    return _benchmark_scene_keys() | {event.scene.key for event in pretraining_world().events}


def _event(row: dict[str, Any]) -> Event:
    return Event(row["theme"], row["description"], scenes.from_json(row["scene"]))
