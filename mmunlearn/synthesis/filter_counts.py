"""What each filter does to candidates, in numbers, and when a shard is to stop for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.records import Candidate
from mmunlearn.synthesis.candidates import reasons
from mmunlearn.synthesis.policy import (
    FILTER_OF,
    FILTERS,
    AcceptanceError,
    Draw,
    Thresholds,
    best,
    reasons_by,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 40


@dataclass(frozen=True)
class FilterCount:
    """One filter over some candidates.

    Attributes:
        refused, alone: candidates that it refuses, and of these the ones that no other filter refuses.
        unscored: candidates without a score, as where no face is seen; it refuses them.
        threshold: its limit.
        nearest: of the scores that it refuses the one next to the limit; None where it refuses none.
        quantiles: of all scores, at QUANTILES; empty without scores.
        ends, histogram: the least and the largest of scores and threshold, and how many scores lie in each of BINS
            equal parts between them.
    """

    refused: int
    alone: int
    unscored: int
    threshold: float
    nearest: float | None
    quantiles: list[float]
    ends: list[float]
    histogram: list[int]


def filter_counts(
    rows: Sequence[Candidate], limits: Thresholds, enforced: bool = True
) -> dict[str, FilterCount]:
    """Filter -> what it does to the candidates, by their verdicts; or would do by its limit, where none is enforced."""
    verdicts = (reasons(row) if enforced else reasons_by(row, limits) for row in rows)
    refusals = [{FILTER_OF.get(reason, reason) for reason in verdict} for verdict in verdicts]
    return {name: _count(name, rows, refusals, limits) for name in FILTERS}


def _count(
    name: str, rows: Sequence[Candidate], refusals: Sequence[set[str]], limits: Thresholds
) -> FilterCount:
    field = FILTERS[name]
    scores = [getattr(row, field) for row in rows]
    known = [score for score in scores if score is not None]
    bad = [
        score for score, names in zip(scores, refusals, strict=True) if name in names and score is not None
    ]
    limit = getattr(limits, field)
    ends = [min([limit, *known]), max([limit, *known])]
    return FilterCount(
        refused=sum(name in names for names in refusals),
        alone=sum(names == {name} for names in refusals),
        unscored=len(scores) - len(known),
        threshold=limit,
        nearest=(min if name == "identity" else max)(bad, default=None),
        quantiles=[round(float(value), 4) for value in np.quantile(known, QUANTILES)] if known else [],
        ends=ends,
        histogram=np.histogram(known, BINS, ends)[0].tolist(),
    )


def filter_table(counts: Mapping[str, FilterCount]) -> list[list[str]]:
    """The counts as rows of text, their header first, the cells of a column of one width."""
    header = ["filter", "refuses", "alone", "no score", "threshold", "nearest refused", "5%, median, 95%"]
    return aligned([header, *([name, *_cells(name, one)] for name, one in counts.items())])


def aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with the cells of a column filled to one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]


def _cells(name: str, one: FilterCount) -> list[str]:
    limit = f"{'at most' if name == 'identity' else 'at least'} {one.threshold:g}"
    spread = ", ".join(f"{value:g}" for value in one.quantiles[::2])
    nearest = "-" if one.nearest is None else f"{one.nearest:g}"
    return [f"{one.refused:,}", f"{one.alone:,}", f"{one.unscored:,}", limit, nearest, spread or "-"]


def check_first_cells(
    cells: Sequence[Sequence[Draw]], planned: int, stop_below: Mapping[str, Any] | None, limits: Thresholds
) -> None:
    """Stop a shard of whose first cells too few can have a valid picture any more.

    Args:
        cells: candidates of the cells drawn so far, each with all its attempts.
        planned: cells of the shard.
        stop_below: `cells`, how many decide (all, where the shard has fewer), and `share` of them that must have a
            valid picture; None: never stop.

    Raises:
        AcceptanceError: says what each filter refuses, and what to do.
    """
    first = min(stop_below["cells"], planned) if stop_below else 0
    without = sum(bool(best(draws).failed) for draws in cells[:first])
    if not stop_below or (first - without) / first >= stop_below["share"]:
        return
    rows = [draw.candidate for draws in cells for draw in draws]
    lines = map("  ".join, filter_table(filter_counts(rows, limits)))
    raise AcceptanceError(
        f"Asked for a valid picture in at least {stop_below['share']:.0%} of the shard's first {first} cells "
        f"(images.stop_below). Found none in {without} of the {len(cells)} drawn, after {len(rows):,} candidates:\n"
        + "\n".join(f"  {line.rstrip()}" for line in lines)
        + f"\nLook at the pictures in {Path(rows[0].path).parent.parent}. Loosen the filter that refuses most "
        "(images.thresholds) if they are good; if not, correct the weights, the guidance or the prompts. "
        "images.stop_below: null goes on regardless. What is drawn is kept and is not drawn again."
    )
