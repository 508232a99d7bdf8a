"""The plan of a training, which says what every optimizer step trains on: a pure function of the sets and a seed.

So a resumed run meets the same batches as an unbroken one, and the pairing of forget with retain questions
changes from epoch to epoch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from mmunlearn.models.example import Example

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
        forget: pictures with one question each; where person and event are forgotten together, the questions of
            both, so that a picture of both sets is there twice.

    Raises:
        ValueError: a set is empty.
    """
    _need(forget=forget, retain=retain, refusals=refusals)
    forgetting = _cycle(forget, random.Random(f"{seed} forget"))
    retaining = _cycle(retain, random.Random(f"{seed} retain"))
    refusing = random.Random(f"{seed} refusal")
    plan = []
    for _ in range(steps):
        drawn = [next(forgetting) for _ in range(min(batch, len(forget)))]
        plan.append(
            {
                "forget": drawn,
                "refusal": [_refuse(example, refusing.choice(refusals)) for example in drawn],
                "retain": [next(retaining) for _ in drawn],
            }
        )
    return plan


def plan_balanced(
    person: Sequence[Example],
    event: Sequence[Example],
    retain: Sequence[Example],
    *,
    steps: int,
    batch: int,
    seed: int,
    event_growth: float = 0.05,
    event_cap: float = 0.5,
) -> list[Step]:
    """Steps of `batch` forget questions whose share of events grows, and as many retain pictures.

    PEBench, section IV-E: events "are initially excluded and then progressively introduced by increasing their
    proportion by 5% at each training step", with "randomized sampling within each class". So of the forget questions
    of step k (from 0) min(event_cap, k event_growth) are about events, rounded half up, the others about people. The
    paper names no end. Half, the default, is where both classes are as many, for which the method is named; 1 lets
    the events replace the people altogether (after 20 steps). Each class is cycled through like those of
    `plan_unlearning`; a step shows no more of a class than it has.

    Args:
        person, event: pictures with one question each.

    Raises:
        ValueError: a set is empty.
    """
    _need(person=person, event=event, retain=retain)
    people = _cycle(person, random.Random(f"{seed} forget_person"))
    events = _cycle(event, random.Random(f"{seed} forget_event"))
    retaining = _cycle(retain, random.Random(f"{seed} retain"))
    plan = []
    for step in range(steps):
        share = min(event_cap, step * event_growth)
        about_events = math.floor(round(share * batch, 9) + 0.5)
        drawn = {
            "forget_person": [next(people) for _ in range(min(batch - about_events, len(person)))],
            "forget_event": [next(events) for _ in range(min(about_events, len(event)))],
        }
        plan.append({**drawn, "retain": [next(retaining) for _ in range(sum(map(len, drawn.values())))]})
    return plan


def steps_of(epochs: float, examples: int, batch: int) -> int:
    """Optimizer steps that show `examples` questions `epochs` times, the last one rounded up; passes follow each
    other without a gap, so that every step is full. Raises ValueError where there is nothing to show."""
    if min(epochs, examples, batch) <= 0:
        raise ValueError(f"{epochs} epochs of {examples} examples in batches of {batch} are no steps")
    return math.ceil(round(epochs * examples / min(batch, examples), 9))


def epochs_of(plan: Sequence[Step], views: Sequence[str], examples: int) -> list[float]:
    """Passes over the `examples` of the forget set (the training set, where nothing is forgotten) after every step."""
    counted = [view for view in views if view.startswith("forget")] or views[:1]
    sizes = [sum(len(step.get(view, ())) for view in counted) for step in plan]
    return [round(size / examples, 3) for size in accumulate(sizes)]


def _need(**sets: Sequence[object]) -> None:
    for name, items in sets.items():
        if not items:
            raise ValueError(f"nothing to draw from: {name} is empty")


def _cycle(items: Sequence[Item], rng: random.Random) -> Iterator[Item]:
    while True:
        yield from rng.sample(list(items), len(items))


def _refuse(example: Example, refusal: str) -> Example:
    return Example(example.image_id, tuple((question, refusal) for question, _ in example.turns))
