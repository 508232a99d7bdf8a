"""How often a gate is right: which expert pictures go to after a stage, counted by picture, not by question.

- forget: `right` is the expert of the picture's own task, `wrong` another one, `base` the untouched base, which still
  knows;
- retain, untouched, stranger: there is no right expert; `wrong` is any expert, and `base` is as it should be.

A picture that is forgotten in one task and retained in another counts in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

from mmunlearn.evaluation.intervals import cluster_sums, clusters_of, interval, mean
from mmunlearn.files import RecordError
from mmunlearn.lifelong.routing import Route
from mmunlearn.lifelong.scores import ALL, Cell
from mmunlearn.tasks import Role, TaskQuestion, entity_of

OUTCOMES = ("right", "wrong", "base")


class Destination(NamedTuple):
    """Where a picture goes: one of OUTCOMES, and why the gate had no usable reply."""

    role: Role
    entity_class: str
    entity: str
    outcome: str
    problem: str


class GateRow(NamedTuple):
    """One set of pictures after one stage.

    Attributes:
        entity_class: ALL, or one class.
        shares: outcome -> share, of how many pictures, and its 95% interval over entities; `right` of forget alone.
        unusable: pictures without a usable reply; the base answers on them.
    """

    role: Role
    entity_class: str
    shares: Mapping[str, Cell]
    unusable: int


def gate_rows(
    routes: Iterable[Route], questions: Mapping[str, TaskQuestion], *, seed: int, resamples: int
) -> list[GateRow]:
    """The sets of a stage: each role as a whole, and by class where it has several.

    Args:
        routes: of the stage.
        questions: by question_id.
        seed, resamples: of the bootstrap.
    Raises:
        RecordError: a route is of no question, or one picture goes to two.
    """
    found = destinations(routes, questions)
    rows = []
    for role in get_args(Role):
        of_role = [one for one in found if one.role == role]
        classes = sorted({one.entity_class for one in of_role})
        for name in [ALL, *classes] if len(classes) > 1 else [ALL][: len(classes)]:
            chosen = [one for one in of_role if name in (ALL, one.entity_class)]
            shares = {
                outcome: _share(chosen, outcome, name, seed=seed, resamples=resamples)
                for outcome in OUTCOMES
                if role == "forget" or outcome != "right"
            }
            rows.append(GateRow(role, name, shares, sum(bool(one.problem) for one in chosen)))
    return rows


def destinations(routes: Iterable[Route], questions: Mapping[str, TaskQuestion]) -> list[Destination]:
    """Where each picture of each set goes, by the questions on it."""
    found: dict[tuple[str, ...], Destination] = {}
    for one in routes:
        if (row := questions.get(one.question_id)) is None:
            raise RecordError(
                f"the route of question {one.question_id} is asked for, but the model has no such question; run the "
                f"rule answer_experts again (--forcerun answer_experts)"
            )
        own = row.role == "forget" and one.expert == row.task
        outcome = "base" if not one.expert else "right" if own else "wrong"
        here = Destination(row.role, row.entity_class, entity_of(row), outcome, one.problem)
        if found.setdefault((row.task, row.role, row.image_id), here) != here:
            raise RecordError(
                f"one route of picture {row.image_id} is asked for, but its questions go to several; run the rule "
                f"answer_experts again (--forcerun answer_experts)"
            )
    return list(found.values())


def _share(found: Sequence[Destination], outcome: str, entity_class: str, **bootstrap: int) -> Cell:
    sums = cluster_sums([float(one.outcome == outcome) for one in found], [one.entity for one in found])
    low, high = interval(sums, **bootstrap, ends=(0.0, 1.0))
    return Cell(
        task="", role=found[0].role, stage="", metric=outcome, entity_class=entity_class, value=mean(sums),
        low=low, high=high, n=len(found), clusters=len(clusters_of(sums)),
    )  # fmt: skip
