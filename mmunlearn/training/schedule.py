"""What every optimizer step trains on, drawn up in advance: a pure function of the sets and a seed.

So a resumed run meets the same batches as an unbroken one, and the pairing of forget with retain questions
changes from epoch to epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from mmunlearn.models.collate import Example

Item = TypeVar("Item")
Step = dict[str, list[Example]]


def plan_finetuning(examples: Sequence[Example], *, epochs: int, batch: int, seed: int) -> list[Step]:
    """Steps of `batch` examples; every example once an epoch, in a new order, questions shuffled, too.

    The last step of an epoch is smaller where the number of examples is no multiple of the batch.
    """
    rng = random.Random(seed)
    steps = []
    for _ in range(epochs):
        order = rng.sample(list(examples), len(examples))
        shuffled = [Example(one.image_id, tuple(rng.sample(one.turns, len(one.turns)))) for one in order]
        steps += [{"retain": shuffled[start : start + batch]} for start in range(0, len(order), batch)]
    return steps


def plan_unlearning(
    forget: Sequence[Example],
    retain: Sequence[Example],
    refusals: Sequence[str],
    *,
    steps: int,
    batch: int,
    seed: int,
) -> list[Step]:
    """Steps with `batch` forget questions, the same questions with a random refusal each, and `batch`
    retain pictures. Both sets are cycled through in an order that is drawn anew for every pass.

    Args:
        forget: pictures with one question each.
    """
    forgetting = _cycle(forget, random.Random(f"{seed} forget"))
    retaining = _cycle(retain, random.Random(f"{seed} retain"))
    refusing = random.Random(f"{seed} refusal")
    plan = []
    for _ in range(steps):
        shown = [next(forgetting) for _ in range(min(batch, len(forget)))]
        plan.append(
            {
                "forget": shown,
                "refusal": [_refuse(example, refusing.choice(refusals)) for example in shown],
                "retain": [next(retaining) for _ in shown],
            }
        )
    return plan


def _cycle(items: Sequence[Item], rng: random.Random) -> Iterator[Item]:
    while True:
        yield from rng.sample(list(items), len(items))


def _refuse(example: Example, refusal: str) -> Example:
    return Example(example.image_id, tuple((question, refusal) for question, _ in example.turns))
