"""A small world of three tasks: questions, pictures of one colour an entity, features, and adapters of a tiny LLaVA."""

from __future__ import annotations

import colorsys
from pathlib import Path

from PIL import Image

from mmunlearn.records import sha256_of
from mmunlearn.tasks import TaskQuestion
from tests.tiny import random_features

ORDER = ["A", "B", "C"]
WORLD = {  # (task, role) -> entity: class
    ("A", "forget"): {"red fox": "Animals", "Ada Lund": "Personage"},
    ("A", "retain"): {"cat": "Animals"},
    ("B", "forget"): {"bus": "Vehicles", "Mira Okonjo": "Personage"},
    ("B", "retain"): {"Bo Ek": "Personage"},
    ("C", "forget"): {"rose": "Plants"},
    ("C", "retain"): {"tulip": "Plants"},
    ("", "untouched"): {"owl": "Animals"},
    ("", "stranger"): {"nobody": "Personage"},
}
CLASSES = {entity: kind for entities in WORLD.values() for entity, kind in entities.items()}
QUESTIONS = ("What is in the picture?", "Who is the person in the picture?")


def colour_of(entity: str) -> tuple[int, int, int]:
    """One hue an entity."""
    names = sorted(CLASSES)
    return tuple(round(255 * one) for one in colorsys.hsv_to_rgb(names.index(entity) / len(names), 1, 1))


def entity_of(colour: tuple[int, int, int]) -> str:
    """The entity of the nearest colour."""
    return min(
        CLASSES, key=lambda name: sum((a - b) ** 2 for a, b in zip(colour, colour_of(name), strict=True))
    )


def world(folder: Path, pictures: int = 3) -> list[TaskQuestion]:
    """Two questions a picture; the first picture of an entity is for tests, the others for training."""
    rows = []
    for (task, role), entities in WORLD.items():
        number = 0
        for entity, kind in entities.items():
            for i in range(pictures):
                path = folder / kind / entity / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8 + i, 8), colour_of(entity)).save(path)
                for question in QUESTIONS:
                    number += 1
                    rows.append(TaskQuestion(
                        question_id=f"{task}-{role}-{number}".removeprefix("-"), image_id=f"{kind}/{entity}/{i}.png",
                        task=task, role=role, part="train" if i and task else "test",
                        entity_class=kind, entity=entity, question=question, answer=f"It is {entity}.",
                        path=str(path), sha256=sha256_of(path),
                    ))  # fmt: skip
    return rows


def features_of(rows: list[TaskQuestion]) -> dict:
    """Of every picture."""
    return random_features(sorted({row.image_id for row in rows}))
