"""The acceptance policy: five filters over raw scores, and regenerate-until-valid. Pure functions.

PEBench, section III-A: FaceNet L2 <= 0.8, CLIP cosine >= 0.3, DINO cosine >= 0.85, MUSIQ >= 50, LAION
aesthetic >= 6.0; five candidates a prompt, and new batches until one is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=str)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Thresholds:
    """Limits of the five filters; `identity_l2` is an upper limit, the others are lower limits."""

    identity_l2: float
    scene_cosine: float
    subject_cosine: float
    distortion: float
    aesthetic: float


@dataclass(frozen=True)
class RawScores:
    """Scores of one picture, rounded to 4 decimals; None where there is none."""

    identity_l2: float | None
    scene_cosine: float | None
    subject_cosine: float | None
    distortion: float | None
    aesthetic: float | None


def failed_filters(scores: RawScores, thresholds: Thresholds) -> list[str]:
    """Names of the filters that refuse a picture, in the paper's order; a missing score is refused."""
    failed = []
    if scores.identity_l2 is None:
        failed.append("no face")
    elif scores.identity_l2 > thresholds.identity_l2:
        failed.append("identity")
    for name, field in (
        ("scene", "scene_cosine"),
        ("subject", "subject_cosine"),
        ("distortion", "distortion"),
        ("aesthetic", "aesthetic"),
    ):
        value = getattr(scores, field)
        if value is None or value < getattr(thresholds, field):
            failed.append(name)
    return failed


@dataclass(frozen=True)
class Draw(Generic[Item]):
    """One candidate of a cell with the filters that refuse it."""

    item: Item
    attempt: int
    failed: list[str]
    aesthetic: float

    @property
    def rank(self) -> tuple:
        """Best first: fewest refusals, then the highest aesthetic score, then the earliest attempt."""
        return (len(self.failed), -self.aesthetic, self.attempt)


def until_accepted(
    cells: Sequence[Key],
    draw: Callable[[list[tuple[Key, int]]], list[Draw[Item]]],
    *,
    batch: int,
    max_attempts: int,
) -> Mapping[Key, list[Draw[Item]]]:
    """Draw every cell in rounds of `batch` candidates until one passes or `max_attempts` are drawn.

    Args:
        cells: what needs a picture.
        draw: gives the candidates of (cell, attempt) pairs; the first round is attempt 0 of every cell on.
    Returns:
        All candidates of every cell, by attempt.
    """
    drawn: dict[Key, list[Draw[Item]]] = {cell: [] for cell in cells}
    pending = list(cells)
    while pending:
        wanted = [
            (cell, attempt)
            for cell in pending
            for attempt in range(len(drawn[cell]), min(len(drawn[cell]) + batch, max_attempts))
        ]
        for (cell, _), candidate in zip(wanted, draw(wanted), strict=True):
            drawn[cell].append(candidate)
        pending = [
            cell
            for cell in pending
            if len(drawn[cell]) < max_attempts and all(candidate.failed for candidate in drawn[cell])
        ]
    return drawn


def best(candidates: Sequence[Draw[Item]]) -> Draw[Item]:
    """The candidate that a cell keeps; it is accepted when no filter refuses it."""
    return min(candidates, key=lambda candidate: candidate.rank)
