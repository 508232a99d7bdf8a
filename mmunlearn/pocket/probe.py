"""What a pocket base model can do on pictures that it never saw, in percent with counts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmunlearn.evaluation.pope import says_yes
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.pocket import pretraining_text as text
from mmunlearn.pocket.pretraining_data import Annotation, Pool
from mmunlearn.pocket.reference_sets import NegativeSampler
from mmunlearn.pocket.worlds import PretrainingWorld
from mmunlearn.records import POPE_SUBSETS

if TYPE_CHECKING:
    from mmunlearn.models.base import Base, Features

MAX_NEW_TOKENS = 96
"""Longest answer that is waited for."""


@dataclass(frozen=True)
class Check:
    """One question to a held-out picture and the metric that it counts for."""

    metric: str
    picture: int
    question: str
    reference: str


def probe(
    base: Base, pool: Pool, world: PretrainingWorld, seed: int = 0, batch: int = 100
) -> dict[str, dict[str, float]]:
    """Ask a model about held-out pictures.

    Args:
        base: model and processor, as loaded from disk.
        pool: pictures that it was not trained on.
        world: what they may show.
        seed: draws the absent objects.
        batch: questions answered at once.

    Returns:
        metric -> ``value`` in percent and ``n`` questions. Objects, figures, strangers and entities are
        accuracies; events, scenes and people are ROUGE-L.
    """
    from mmunlearn.models.collate import Collator
    from mmunlearn.models.generation import Query, answer_all, batches_of

    checks = list(_checks(pool.annotations, world, random.Random(f"probe {seed}")))
    collator = Collator(base, _features(base, pool.pixels, batch))
    queries = [
        Query(str(check.picture), check.question, 4 if check.metric.startswith("objects") else MAX_NEW_TOKENS)
        for check in checks
    ]
    batches = batches_of(collator, queries, batch)
    answers = answer_all(base.model, collator, queries, batches=batches, what="probe")
    scores = defaultdict(list)
    for check, answer in zip(checks, answers, strict=True):
        scores[check.metric].append(_score(check, answer))
    return {
        metric: {"value": round(100 * sum(values) / len(values), 2), "n": len(values)}
        for metric, values in sorted(scores.items())
    }


def _checks(annotations: list[Annotation], world: PretrainingWorld, rng: random.Random) -> Iterator[Check]:
    negatives = NegativeSampler(rng)
    for number, picture in enumerate(annotations):
        if picture.entity:
            for question, answer in world.entities[picture.entity]:
                yield Check("entities", number, question, answer)
            continue
        answers = dict(text.sentences(picture, world, rng))
        yield Check("scenes", number, text.SCENE_QUESTION, answers[text.SCENE_QUESTION])
        if picture.event:
            yield Check("events", number, text.EVENT_QUESTION, picture.event)
        if picture.identity:
            yield Check("people", number, text.PERSON_QUESTION, answers[text.PERSON_QUESTION])
            metric = "figures" if picture.figure else "strangers"
            yield Check(metric, number, text.NAME_QUESTION, answers[text.NAME_QUESTION])
        yield from _object_checks(number, picture, negatives, rng)


def _object_checks(
    number: int, picture: Annotation, negatives: NegativeSampler, rng: random.Random
) -> Iterator[Check]:
    """Ask for one present and one absent object in each of POPE's ways."""
    where = "with a person" if picture.identity else "without a person"
    for subset in POPE_SUBSETS:
        pair = {
            text.YES: rng.choice(picture.objects),
            text.NO: negatives.sample(picture.objects, subset, rng),
        }
        for answer, name in pair.items():
            for metric in (f"objects, {subset}", f"objects, {where}", f"objects, {answer.lower()}"):
                yield Check(metric, number, text.object_question(name), answer)


def _score(check: Check, answer: str) -> float:
    """Score one answer from 0 to 1: right or wrong, or ROUGE-L for descriptions."""
    if check.metric.startswith("objects"):
        return float(says_yes(answer) == (check.reference == text.YES))
    if check.metric == "strangers":
        return float(answer in text.REFUSALS)
    if check.metric in ("figures", "entities"):
        return float(answer == check.reference)
    return rouge_l(answer, check.reference)


def _features(base: Base, pixels: np.ndarray, batch: int) -> dict[str, Features]:
    """Image embeddings of uint8 (N, side, side, 3) pictures by their number, through the processor."""
    import torch

    features = {}
    for start in range(0, len(pixels), batch):
        images = [Image.fromarray(picture) for picture in pixels[start : start + batch]]
        inputs = base.processor.image_processor(images=images, return_tensors="pt")
        with torch.no_grad():
            encoded = base.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
        features |= {str(start + i): {"features": one.contiguous()} for i, one in enumerate(encoded)}
    return features
