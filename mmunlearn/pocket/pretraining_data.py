"""Pools of pictures of the pretraining world: drawn in parallel, stored small, read again after a crash."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from mmunlearn.files import read_text
from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.render import Picture, render_entity, render_person, render_scene
from mmunlearn.pocket.scenes import Box, Placement, Scene
from mmunlearn.pocket.worlds import pretraining_world, sample_training_identity, sample_training_scene
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path


class PoolSettings(BaseModel):
    """How many pictures are drawn, and of what.

    Attributes:
        pictures: size of the training pool.
        held_out: size of the pool that is only measured on, drawn at 256 pixels.
        sides: sides in pixels at which training pictures are drawn, in turn, before the processor resizes.
        entity, bare: parts of the pool that show an entity, or a scene without a person; the rest show people.
        figure: part of the people that are public figures.
        event: part of the scenes that are events of the pretraining world.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int
    held_out: int
    sides: tuple[int, ...]
    entity: float
    bare: float
    figure: float
    event: float


@dataclass(frozen=True)
class Annotation:
    """What one picture shows: an entity, or a scene with or without a person.

    Attributes:
        figure: name of the person where it is a public figure.
        event: sentence of the event where the scene is one of the pretraining world's.
        placements, person_box, head_box: as in ``render.Picture``, in parts of the frame.
    """

    entity: str | None = None
    identity: Identity | None = None
    figure: str | None = None
    scene: Scene | None = None
    event: str | None = None
    placements: tuple[Placement, ...] = ()
    person_box: Box | None = None
    head_box: Box | None = None

    @property
    def objects(self) -> list[str]:
        """Names of the drawn objects, each once, in alphabetical order."""
        return sorted({placement.name for placement in self.placements})


@dataclass
class Pool:
    """Pictures as uint8 (N, side, side, 3), as the processor resizes them, and what each one shows."""

    pixels: np.ndarray
    annotations: list[Annotation]

    def sha256(self) -> str:
        """Digest of the pixels and of everything said about them."""
        digest = hashlib.sha256(self.pixels.tobytes())
        digest.update(json.dumps([asdict(row) for row in self.annotations], sort_keys=True).encode())
        return digest.hexdigest()


def draw(key: str, settings: PoolSettings, side: int) -> tuple[Picture, Annotation]:
    """Draw one picture of the pretraining world; ``key`` alone decides what it shows and how."""
    world, rng = pretraining_world(), random.Random(key)
    kind = rng.random()
    if kind < settings.entity:
        entity = rng.choice(list(world.entities))
        return render_entity(entity, key, side), Annotation(entity=entity)
    event = rng.choice(list(world.events)) if rng.random() < settings.event else None
    scene = world.events[event] if event else sample_training_scene(rng)
    if kind < settings.entity + settings.bare:
        picture = render_scene(scene, key, side)
        return picture, Annotation(scene=scene, event=event, placements=tuple(picture.placements))
    figure = rng.choice(list(world.figures)) if rng.random() < settings.figure else None
    identity = world.figures[figure] if figure else sample_training_identity(rng)
    picture = render_person(identity, scene, key, side)
    boxes = (tuple(picture.placements), picture.person_box, picture.head_box)
    return picture, Annotation(None, identity, figure, scene, event, *boxes)


def load_pool(
    folder: Path,
    name: str,
    settings: PoolSettings,
    resize: Callable[[list[Any]], np.ndarray],
    seed: int,
    processes: int,
) -> Pool:
    """Read a pool from its folder, or draw it and leave it there.

    Args:
        folder: where pools lie; it must belong to these settings alone.
        name: "training" or "held-out"; no key is shared between the two.
        settings: sizes and mixture.
        resize: turns a list of RGB images into uint8 (n, side, side, 3).
        seed: of the whole pool.
        processes: how many draw; the pool does not depend on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixels_path, annotations_path = folder / f"{name}.npy", folder / f"{name}.jsonl"
    if not pixels_path.is_file():
        count, sides = (
            (settings.pictures, settings.sides) if name == "training" else (settings.held_out, (256,))
        )
        jobs = [(f"{name} {seed} {number}", sides[number % len(sides)]) for number in range(count)]
        pixels, annotations = zip(*_draw_all(jobs, settings, resize, processes, name), strict=True)
        with atomic_path(annotations_path) as path:
            path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in annotations), encoding="utf-8")
        with atomic_path(pixels_path) as path:
            np.save(path, np.concatenate(pixels))
    read = TypeAdapter(Annotation).validate_json
    rows = read_text(annotations_path).splitlines()
    return Pool(np.load(pixels_path), [read(row) for row in rows])


def _draw_all(
    jobs: list[tuple[str, int]],
    settings: PoolSettings,
    resize: Callable[[list[Any]], np.ndarray],
    processes: int,
    name: str,
) -> Iterator[tuple[np.ndarray, Annotation]]:
    with get_context("fork").Pool(processes) as workers:
        pictures = workers.imap(partial(_draw_one, settings=settings), jobs, chunksize=32)
        for image, annotation in progress(pictures, f"draw {name}", len(jobs), "picture"):
            yield resize([image]), annotation
        workers.close()  # and not ended by a signal, which a caller of ours may have given another meaning
        workers.join()


def _draw_one(job: tuple[str, int], settings: PoolSettings) -> tuple[Any, Annotation]:
    picture, annotation = draw(job[0], settings, job[1])
    return picture.image, annotation
