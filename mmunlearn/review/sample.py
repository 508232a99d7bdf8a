"""The random share of all candidates on which people and filters are compared."""

from __future__ import annotations

from collections.abc import Sequence

from mmunlearn.ids import candidate_id
from mmunlearn.records import Candidate
from mmunlearn.seeds import derive_seed


def sample_item(row: Candidate) -> str:
    """The name of a candidate in verdicts of kind `sample`: `<image_id>-a<attempt>`."""
    return candidate_id(row.image_id, row.attempt)


def sample_of(candidates: Sequence[Candidate], share: float, seed: int) -> list[Candidate]:
    """A random share of the candidates, in random order; at least one where there are any.

    Every candidate draws its own lot from the seed, and the lowest are taken: when more candidates come, nearly all
    that were in the sample stay in it, so that verdicts on them stay of use.
    """
    lots = sorted(
        candidates, key=lambda row: (derive_seed(seed, "review sample", sample_item(row)), sample_item(row))
    )
    return lots[: max(round(share * len(lots)), 1)]
