"""The audit of the filters: the random share of all candidates that people judge, and whose judgement it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmunlearn.ids import candidate_id
from mmunlearn.records import Candidate, Truth
from mmunlearn.seeds import derive_seed


@dataclass(frozen=True)
class Rater:
    """Whom the filters are compared with.

    `bad` says of every judged candidate (by `audit_item`) whether the rater rejects it, `notes` why where that is
    known; `reason` says why nothing was judged.
    """

    name: str
    on: str
    bad: Mapping[str, bool]
    reason: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


def audit_item(row: Candidate | Truth) -> str:
    """The name of a candidate in verdicts of kind `sample`: `<image_id>-a<attempt>`."""
    return candidate_id(row.image_id, row.attempt)


def draw_audit(candidates: Sequence[Candidate], share: float, seed: int) -> list[Candidate]:
    """A random share of the candidates, in random order; at least one where there are any.

    Every candidate draws a lot from the seed, and the lowest are taken: when more candidates come, nearly all
    that were drawn stay in, so that verdicts on them stay of use.
    """
    lots = sorted(
        candidates, key=lambda row: (derive_seed(seed, "review sample", audit_item(row)), audit_item(row))
    )
    return lots[: max(round(share * len(lots)), 1)]
