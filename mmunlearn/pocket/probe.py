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
from mmunlearn.pocket import knowledge
from mmunlearn.pocket import pretraining_text as text
from mmunlearn.pocket.pretraining_data import Annotation, Pool
from mmunlearn.pocket.reference_sets import NegativeSampler
from mmunlearn.pocket.worlds import PretrainingWorld
from mmunlearn.records import POPE_SUBSETS

if TYPE_CHECKING:
    from mmunlearn.models.base import Base, Features

MAX_NEW_TOKENS = 96
"""Longest answer that is waited for."""

NO_PICTURE = "no picture"
"""Key of the mean of all pictures' features: what is answered to it needs no picture."""


@dataclass(frozen=True)
class Check:
    """One question to a held-out picture, by its number as text, and the metric that it counts for."""

    metric: str
    picture: str
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
        metric -> ``value`` in percent and ``n`` questions. Events, scenes and people are ROUGE-L, all others
        accuracies: objects; entities (their own questions); strangers (refusals); kinds, the names of figures and
        of things, and the facts of both, in the first wording, "in other words", and by a mean picture.
    """
    from mmunlearn.models.collate import Collator
    from mmunlearn.models.generation import Query, answer_all, batches_of

    checks = list(_checks(pool.annotations, world, random.Random(f"probe {seed}")))
    collator = Collator(base, _features(base, pool.pixels, batch))
    queries = list(dict.fromkeys(Query(check.picture, check.question, _longest(check)) for check in checks))
    batches = batches_of(collator, queries, batch)
    answers = answer_all(base.model, collator, queries, batches=batches, what="probe")
    said = {(query.image_id, query.question): answer for query, answer in zip(queries, answers, strict=True)}
    scores = defaultdict(list)
    for check in checks:
        scores[check.metric].append(_score(check, said[check.picture, check.question]))
    return {
        metric: {"value": round(100 * sum(values) / len(values), 2), "n": len(values)}
        for metric, values in sorted(scores.items())
    }


def _longest(check: Check) -> int:
    return 4 if check.metric.startswith("objects") else MAX_NEW_TOKENS


def _checks(annotations: list[Annotation], world: PretrainingWorld, rng: random.Random) -> Iterator[Check]:
    negatives = NegativeSampler(rng)
    for number, picture in enumerate(annotations):
        answers = dict(text.sentences(picture, world, rng))
        key = str(number)
        yield from _common_checks(key, picture, answers)
        if picture.entity:
            for question, answer in world.entities[picture.entity]:
                yield Check("entities", key, question, answer)
            continue
        yield Check("scenes", key, text.SCENE_QUESTION, answers[text.SCENE_QUESTION])
        if picture.event:
            yield Check("events", key, text.EVENT_QUESTION, picture.event)
        if picture.identity:
            yield Check("people", key, text.PERSON_QUESTION, answers[text.PERSON_QUESTION])
        yield from _object_checks(key, picture, negatives, rng)


def _common_checks(key: str, picture: Annotation, answers: dict[str, str]) -> Iterator[Check]:
    """Ask for the kind, and for name and facts of an entity, a figure or a stranger."""
    for question, metric in zip(knowledge.kind_wordings(), ("kinds", "kinds in other words"), strict=True):
        yield Check(metric, key, question, answers[question])
    if picture.identity and not picture.figure:
        yield Check("strangers", key, text.NAME_QUESTION, answers[text.NAME_QUESTION])
    if not (name := picture.entity or picture.figure):
        return
    who = "figures" if picture.figure else "things"
    for one in knowledge.common_questions(name)[1:]:
        metric = who if one.id == knowledge.NAME else f"facts of {who}"
        yield Check(metric, key, one.wordings[0], one.answer)
        yield Check(f"{metric} in other words", key, one.wordings[1], one.answer)
        yield Check(f"{metric}, mean picture", NO_PICTURE, one.wordings[0], one.answer)


def _object_checks(
    key: str, picture: Annotation, negatives: NegativeSampler, rng: random.Random
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
                yield Check(metric, key, text.object_question(name), answer)


def _score(check: Check, answer: str) -> float:
    """Score one answer from 0 to 1: right or wrong, or ROUGE-L for descriptions."""
    if check.metric.startswith("objects"):
        return float(says_yes(answer) == (check.reference == text.YES))
    if check.metric == "strangers":
        return float(answer in text.REFUSALS)
    if check.metric in ("events", "scenes", "people"):
        return rouge_l(answer, check.reference)
    return float(answer == check.reference)


def _features(base: Base, pixels: np.ndarray, batch: int) -> dict[str, Features]:
    """Image embeddings of uint8 (N, side, side, 3) pictures by their number, through the processor, and their mean."""
    import torch

    features = {}
    for start in range(0, len(pixels), batch):
        images = [Image.fromarray(picture) for picture in pixels[start : start + batch]]
        inputs = base.processor.image_processor(images=images, return_tensors="pt")
        with torch.no_grad():
            encoded = base.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
        features |= {str(start + i): {"features": one.contiguous()} for i, one in enumerate(encoded)}
    mean = torch.stack([one["features"] for one in features.values()]).mean(0)
    return features | {NO_PICTURE: {"features": mean}}
