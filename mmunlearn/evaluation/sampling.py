"""Samples of questions: which ones a model is asked where not all are.

Every question draws its own lot from its id, so that a sample depends neither on the order of the questions nor on
which others there are: models asked at different times are asked the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from mmunlearn.records import Answer, Question, Split, SuiteQuestion, digest_of
from mmunlearn.seeds import derive_seed

Row = TypeVar("Row", Question, SuiteQuestion, Answer)


@dataclass(frozen=True)
class Sample:
    """How many questions are asked; None for all.

    Attributes:
        seed: of the lots.
        retain: on retained pictures, of the kind that the split's target is; besides all questions on forgotten ones.
        real: of each kind.
        world: of all, as many from each of POPE's subsets, and of their answers yes and no.
        one_kind: on forgotten pictures, only the split's kind is asked: the name of a forgotten person, the sentence
            of a forgotten event.
    """

    seed: int
    retain: int | None = None
    real: int | None = None
    world: int | None = None
    one_kind: bool = False


Suites = Mapping[str, Sequence[Any]]


def pick(questions: Suites, splits: Sequence[Split], sample: Sample) -> dict[str, list[Any]]:
    """The questions of each suite that are asked, in their order.

    Args:
        questions: suite -> rows: Question for `dataset`, SuiteQuestion for `real` and `world`.
        splits: what the answers will be scored on; each adds the questions that its scores rest on.
    """
    dataset = questions["dataset"]
    return {
        "dataset": list(dataset)
        if sample.retain is None
        else _union(dataset, [_of_split(dataset, split, sample) for split in splits]),
        "real": lowest(questions["real"], sample.real, sample.seed, by=lambda row: row.kind),
        "world": balanced(questions["world"], sample.world, sample.seed),
    }


def lowest(
    rows: Sequence[Row], n: int | None, seed: int, *, by: Callable[[Row], Hashable] = lambda row: None
) -> list[Row]:
    """The n rows of each group with the lowest lots, in their order; all where n is None."""
    if n is None:
        return list(rows)
    return _union(rows, [group[:n] for group in _drawn(rows, seed, by)])


def balanced(rows: Sequence[SuiteQuestion], n: int | None, seed: int) -> list[SuiteQuestion]:
    """n rows, taken in turn from each (subset, answer); all where n is None."""
    if n is None:
        return list(rows)
    groups = _drawn(rows, seed, lambda row: (row.subset, row.answer.casefold()))
    return _union(rows, [in_turn(groups)[:n]])


def in_turn(groups: Iterable[Sequence[Row]]) -> list[Row]:
    """The first row of each group, then the second of each, to the last of the largest."""
    return [row for turn in zip_longest(*groups) for row in turn if row is not None]


def summary(sample: Sample | None, answers: Suites) -> dict[str, Any] | str:
    """What a score file says of the questions that were asked: `all`, or their counts and digest by suite."""
    if sample is None:
        return "all"
    ids = {suite: [row.question_id for row in rows] for suite, rows in answers.items()}
    return {"questions": {suite: len(names) for suite, names in ids.items()}, "digest": digest_of(ids)}


def _of_split(rows: Sequence[Question], split: Split, sample: Sample) -> list[Question]:
    forgotten, retained = {*split.forget_train, *split.forget_test}, set(split.retain)
    on_forgotten = [
        row for row in rows if row.image_id in forgotten and (row.kind == split.target or not sample.one_kind)
    ]
    others = [row for row in rows if row.image_id in retained and row.kind == split.target]
    return on_forgotten + lowest(others, sample.retain, sample.seed)


def _drawn(rows: Iterable[Row], seed: int, by: Callable[[Row], Hashable]) -> list[list[Row]]:
    """The rows of each group by their lots, the groups in order."""
    groups: dict[Any, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (derive_seed(seed, "lot", row.question_id), row.question_id)):
        groups.setdefault(by(row), []).append(row)
    return [groups[name] for name in sorted(groups, key=str)]


def _union(rows: Sequence[Row], parts: Iterable[Iterable[Row]]) -> list[Row]:
    ids = {row.question_id for part in parts for row in part}
    return [row for row in rows if row.question_id in ids]
