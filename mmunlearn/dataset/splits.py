"""Forget and retain sets (PEBench, section III-C1)."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.records import Split, Target, read_manifest, write_json
from mmunlearn.seeds import derive_seed

logger = logging.getLogger(__name__)


def split_concepts(manifest: Path, output: Path, *, target: Target, percent: int, seed: int) -> None:
    """Write the split of one target and percent over all valid pictures."""
    pictures = [row for row in read_manifest(manifest) if row.accepted]
    concept_of = {row.image_id: row.person_id if target == "person" else row.event_id for row in pictures}
    split = make_split(concept_of, target=target, percent=percent, seed=seed)
    write_json(output, split)
    logger.info(
        "%s%02d: %d concepts, %d to forget and %d held out, %d to retain",
        target, percent, len(split.forgotten), len(split.forget_train), len(split.forget_test), len(split.retain),
    )  # fmt: skip


def concepts_to_forget(n: int, percent: int) -> int:
    """How many of `n` concepts a percentage is, halves rounded up: 5% of 40 is 2."""
    return (2 * n * percent + 100) // 200


def make_split(concept_of: Mapping[str, str], *, target: Target, percent: int, seed: int) -> Split:
    """Draw the concepts to forget and halve each one's pictures into train and test.

    The order of concepts is drawn once per (seed, target), so the 5% split lies within the 10% split. A
    concept with an odd number of pictures gives the extra one to train.

    Args:
        concept_of: image id -> person or event id.
    """
    concepts = sorted(set(concept_of.values()))
    order = random.Random(derive_seed(seed, "split", target)).sample(concepts, len(concepts))
    forgotten = sorted(order[: concepts_to_forget(len(concepts), percent)])
    train: list[str] = []
    test: list[str] = []
    for concept in forgotten:
        halves = _halve([image for image, own in concept_of.items() if own == concept], seed, concept)
        train += halves[0]
        test += halves[1]
    gone = set(forgotten)
    retain = [image for image, own in concept_of.items() if own not in gone]
    return Split(
        target=target,
        percent=percent,
        seed=seed,
        forgotten=forgotten,
        forget_train=sorted(train),
        forget_test=sorted(test),
        retain=sorted(retain),
    )


def _halve(images: Sequence[str], seed: int, concept: str) -> tuple[list[str], list[str]]:
    shuffled = random.Random(derive_seed(seed, "halves", concept)).sample(sorted(images), len(images))
    middle = (len(shuffled) + 1) // 2
    return shuffled[:middle], shuffled[middle:]
