"""The acceptance policy: five filters over raw scores, and regenerate-until-valid. Pure functions.

PEBench, section III-A: FaceNet L2 <= 0.8, CLIP cosine >= 0.3, DINO cosine >= 0.85, MUSIQ >= 50, LAION
aesthetic >= 6.0; five candidates a prompt, and new batches until one is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mmunlearn.records import Candidate

NO_FACE, SEVERAL_FACES, SCENE_PAIR = "no face", "several faces", "scene pair"
REVIEW, AWAITING, SURPLUS = "review", "awaiting review", "surplus"
"""Reasons beside the filters' names; the last three are not the filters' doing."""
FILTERS = {
    "identity": "identity_l2",
    "scene": "scene_cosine",
    "subject": "subject_cosine",
    "distortion": "distortion",
    "aesthetic": "aesthetic",
}
"""Filter -> the score that it looks at, in the paper's order; identity has an upper limit, the others a lower one."""
FILTER_OF = {NO_FACE: "identity", SEVERAL_FACES: "identity", SCENE_PAIR: "scene"}
"""Reason -> the filter that it counts for."""


class AcceptanceError(RuntimeError):
    """Too few cells of people x events have an accepted picture."""


@dataclass(frozen=True)
class Thresholds:
    """Limits of the filters; `identity_l2` is an upper limit, the others are lower limits.

    `scene_pair` holds between the accepted pictures of an event and is looked at when all of them are known.
    """

    identity_l2: float
    scene_cosine: float
    scene_pair: float
    subject_cosine: float
    distortion: float
    aesthetic: float


@dataclass(frozen=True)
class RawScores:
    """Scores of one picture, rounded to 4 decimals; None where there is none."""

    faces: int
    identity_l2: float | None
    scene_cosine: float | None
    subject_cosine: float | None
    distortion: float | None
    aesthetic: float | None


def failed_filters(scores: RawScores, thresholds: Thresholds) -> list[str]:
    """Names of the filters that refuse a picture, in the paper's order; a missing score is refused."""
    failed = []
    if scores.faces != 1:
        failed.append(SEVERAL_FACES if scores.faces else NO_FACE)
    elif scores.identity_l2 is None or scores.identity_l2 > thresholds.identity_l2:
        failed.append("identity")
    for name, field in list(FILTERS.items())[1:]:
        value = getattr(scores, field)
        if value is None or value < getattr(thresholds, field):
            failed.append(name)
    return failed


def reasons_by(row: Candidate, thresholds: Thresholds) -> list[str]:
    """Names of the filters that would refuse a candidate by its scores; of pairs of scenes these say nothing."""
    scores = RawScores(**{score.name: getattr(row, score.name) for score in fields(RawScores)})
    return failed_filters(scores, thresholds)


@dataclass(frozen=True)
class Draw:
    """One candidate of a cell with its scene feature, a float32 array (D,), and what refuses it."""

    candidate: Candidate
    scene: Any
    failed: list[str]


def until_accepted(draw: Callable[[range], list[Draw]], *, batch: int, max_attempts: int) -> list[Draw]:
    """Draw a cell in batches until a candidate passes or `max_attempts` are drawn.

    Args:
        draw: gives the candidates of a range of attempts, at most `batch` of them.

    Returns:
        All candidates, by attempt.
    """
    candidates: list[Draw] = []
    while len(candidates) < max_attempts and all(one.failed for one in candidates):
        start = len(candidates)
        candidates += draw(range(start, min(start + batch, max_attempts)))
    return candidates


def expected_draws(acceptance: float, batch: int, max_attempts: int) -> float:
    """Candidates that `until_accepted` is expected to draw where each passes with the same probability.

    Batch k + 1 is drawn when k batches had no valid candidate: batch * sum over k of (1 - acceptance)^(batch k).
    """
    return batch * sum((1 - acceptance) ** (batch * k) for k in range(max_attempts // batch))


def best(draws: Sequence[Draw]) -> Draw:
    """The candidate that a cell retains; it is accepted when nothing refuses it."""
    return min(draws, key=lambda draw: rank(draw.candidate, draw.failed))


def rank(candidate: Candidate, failed: Sequence[str]) -> tuple[int, float, int]:
    """Best first: fewest refusals, then the highest aesthetic score, then the earliest attempt."""
    return len(failed), -(candidate.aesthetic or 0.0), candidate.attempt
