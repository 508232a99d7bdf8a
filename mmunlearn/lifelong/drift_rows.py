"""drift.json: what is measured of a sequence. Nothing heavy here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from mmunlearn.records import Count, Record
from mmunlearn.tasks import so_far

Set = Literal["forget", "retain"]
SETS: tuple[Set, ...] = get_args(Set)


def measured_after(tasks: Sequence[str], experts: bool) -> list[tuple[str, list[str]]]:
    """After which task what is measured: the tasks so far; with experts, each one's own, and all of the base ('')."""
    if experts:
        return [("", list(tasks)), *((task, [task]) for task in tasks)]
    return [(task, so_far(tasks, task)) for task in tasks]


class SetDrift(Record):
    """The questions of one set of one task, before the first task and after a stage.

    Attributes:
        after: the task that was unlearned last, or whose expert answers; empty: the base, to which LUMoE's gate sends.
        original, unlearned: the gap; `change` is their difference, with its 95% interval, `low` and `high`.
        picture, text: displacement: how far each centroid is from where it was.
        n, entities: questions, and what they are on.
        reason: why a number is missing.
    """

    task: str
    role: Set
    after: str
    n: Count
    entities: Count
    original: float | None = None
    unlearned: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    picture: float | None = None
    text: float | None = None
    reason: str = ""


class Drift(Record):
    """drift.json of a sequence; with `experts` a stage is one task's expert."""

    model: str
    method: str
    order: str
    seed: int
    experts: bool
    distance: str
    sets: list[SetDrift]
    digests: dict[str, str]
    versions: dict[str, str]
