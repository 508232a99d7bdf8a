"""Forget and retain sets (PEBench, section III-C1)."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.ids import parse_split
from mmunlearn.records import RecordError, Split, Target, read_manifest, write_json
from mmunlearn.seeds import derive_seed

logger = logging.getLogger(__name__)


def split_concepts(output: Path, manifest: Path, *, split: str, seed: int) -> None:
    """Write a split, such as `person05`, over all valid pictures.

    Raises:
        RecordError: the percentage is of too few people or events: there is none to forget.
    """
    target, percent = parse_split(split)
    pictures = [row for row in read_manifest(manifest) if row.accepted]
    concept_of = {row.image_id: row.person_id if target == "person" else row.event_id for row in pictures}
    made = make_split(concept_of, target=target, percent=percent, seed=seed)
    if not made.forgotten:
        raise RecordError(
            f"Asked {manifest} for {percent}% of its {target} ids. Found {len(set(concept_of.values()))} with a valid "
            f"picture, of which that is none. Raise the percentage ({split}), or add pictures."
        )
    write_json(output, made)
    logger.info(
        "%s: %d concepts, %d to forget and %d held out, %d to retain",
        split, len(made.forgotten), len(made.forget_train), len(made.forget_test), len(made.retain),
    )  # fmt: skip


def concepts_to_forget(n: int, percent: int) -> int:
    """How many of `n` concepts a percentage is, halves rounded up: 5% of 40 is 2."""
    return (2 * n * percent + 100) // 200


def to_train(n: int, percent: int, others: int) -> int:
    """Pictures in forget_train, where `n` concepts have one with each of `others` (people: events)."""
    return concepts_to_forget(n, percent) * ((others + 1) // 2)


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
    images: dict[str, list[str]] = {}
    for image, concept in concept_of.items():
        images.setdefault(concept, []).append(image)
    halves = [_halve(images[concept], seed, concept) for concept in forgotten]
    return Split(
        target=target,
        percent=percent,
        seed=seed,
        forgotten=forgotten,
        forget_train=sorted(image for train, _ in halves for image in train),
        forget_test=sorted(image for _, test in halves for image in test),
        retain=sorted(image for image, concept in concept_of.items() if concept not in forgotten),
    )


def _halve(images: Sequence[str], seed: int, concept: str) -> tuple[list[str], list[str]]:
    shuffled = random.Random(derive_seed(seed, "halves", concept)).sample(sorted(images), len(images))
    middle = (len(shuffled) + 1) // 2
    return shuffled[:middle], shuffled[middle:]
