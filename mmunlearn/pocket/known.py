"""What the base model knows of every entity and public figure, measured on pictures that it never saw.

    python -m mmunlearn.pocket.known results/pocket-models/llava knowledge.csv

The table lies beside the weights: tasks are made of what the base knows (`pocket.tasks`).
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from mmunlearn.pocket.identities import Identity
from mmunlearn.pocket.knowledge import COLUMNS, PERSON, common_questions, entity_classes
from mmunlearn.pocket.render import render_entity, render_person
from mmunlearn.pocket.worlds import pretraining_world, sample_training_scene
from mmunlearn.progress import progress
from mmunlearn.records import write_text

if TYPE_CHECKING:
    from mmunlearn.models.base import Base, Features

PICTURES = 32
"""Of each entity: twelve decide too little, six questions changed sides with others."""
MAX_NEW_TOKENS = 32


class Known(NamedTuple):
    """On how many of n pictures of an entity a wording (1 or 2) of a question is answered rightly, word for word."""

    entity: str
    question: str
    wording: int
    right: int
    n: int


def draw_entity(name: str, seed: str, size: int = 256) -> Image.Image:
    """A picture of an entity, or of a public figure in some scene; its seed decides all."""
    if entity_classes()[name] != PERSON:
        return render_entity(name, seed, size).image
    return draw_person(pretraining_world().figures[name], name, seed, size)


def draw_person(identity: Identity, name: str, seed: str, size: int = 256) -> Image.Image:
    """A picture of somebody in some scene; name and seed decide all."""
    scene = sample_training_scene(random.Random(f"scene of {name} {seed}"))
    return render_person(identity, scene, f"{name} {seed}", size).image


def measure(base: Base, pictures: int = PICTURES, batch: int = 100) -> list[Known]:
    """Ask a model every common question on fresh pictures of every entity, in both wordings."""
    from mmunlearn.models.collate import Collator
    from mmunlearn.models.generation import Query, answer_all, batches_of

    asked = [
        (name, common.id, wording, str(number), text, common.answer)
        for name, number in product(entity_classes(), range(pictures))
        for common in common_questions(name)
        for wording, text in enumerate(common.wordings, start=1)
    ]
    collator = Collator(base, dict(_features(base, pictures, batch)))
    queries = [Query(f"{name} {number}", text, MAX_NEW_TOKENS) for name, _, _, number, text, _ in asked]
    answers = answer_all(
        base.model, collator, queries, batches=batches_of(collator, queries, batch), what="known"
    )
    right, n = Counter(), Counter()
    for (name, question, wording, _, _, answer), said in zip(asked, answers, strict=True):
        right[name, question, wording] += said == answer
        n[name, question, wording] += 1
    return [Known(*key, right[key], n[key]) for key in n]


def _features(base: Base, pictures: int, batch: int) -> Iterator[tuple[str, Features]]:
    """Image id (`<name> <number>`) and features."""
    import torch

    named = list(product(entity_classes(), range(pictures)))
    for start in progress(range(0, len(named), batch), "known pictures", unit="batch"):
        chunk = named[start : start + batch]
        with torch.no_grad():
            encoded = base.encode([draw_entity(name, f"known {number}") for name, number in chunk])
        yield from ((f"{name} {number}", one) for (name, number), one in zip(chunk, encoded, strict=True))


def measure_known(output: Path, folder: Path) -> None:
    """Measure a checkpoint as it lies on disk, and write the table."""
    from mmunlearn.models.loading import ModelSpec, load_base

    write_known(output, measure(load_base(ModelSpec("llava", str(folder), "float32"))))


def write_known(path: Path, rows: list[Known]) -> None:
    """Write the table as CSV."""
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


if __name__ == "__main__":
    measure_known(Path(sys.argv[2]), Path(sys.argv[1]))
