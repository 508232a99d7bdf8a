"""What may not be concluded from the matrix, from differences that are written out."""

from __future__ import annotations

import pytest

from mmunlearn.reporting.lifelong_cells import Column
from mmunlearn.reporting.lifelong_differences import standing_of, with_places
from mmunlearn.reporting.lifelong_notes import cautions


def pair(metric: str, column: str, clusters: int, low: float, high: float) -> dict[str, str]:
    cells = {"difference": low + high, "low": low, "high": high, "clusters": clusters}
    return {"model": "m", "metric": metric, "column": column, "method": "GD", "other": "KL"} | {
        name: str(value) for name, value in cells.items()
    }


def said_of(rows: list[dict[str, str]]) -> str:
    return cautions(standing_of(rows), rows, [])[1]


@pytest.mark.parametrize(("clusters", "place"), [(5, "undecidable"), (6, "tied")])
def test_who_is_behind_the_best_on_few_entities_is_not_tied_with_it(clusters, place):
    rows = [
        {"model": "m", "metric": "utility", "method": method, "A-UA": value, "A-UA_clusters": str(clusters)}
        for method, value in (("GD", "1.0"), ("KL", "0.0"))
    ]
    standing = standing_of([pair("utility", "A-UA", clusters, -0.1, 1.0)])
    places = with_places(rows, [Column("A", "A")], standing, ())
    assert [row["A-UA_place"] for row in places] == ["best", place]


def test_cells_of_few_entities_are_no_ties():
    """No method can be ahead on five entities, so that `neither` would be no finding."""
    wide, ahead, behind, tied = (-0.1, 0.9), (0.1, 0.9), (-0.9, -0.1), (-0.2, 0.3)
    rows = [
        pair("utility", "A-UA", 5, *wide),
        pair("utility", "B-UB", 6, *tied),
        pair("utility", "C-UC", 6, *ahead),
    ]
    rows += [pair("forget", "A-UA", 8, *behind), pair("forget", "B-UB", 8, *behind)]
    assert (
        "GD against KL: no ranking, whatever stands here (forget: GD is ahead in 0, KL in 2, neither in 0 of 2 cells; "
        "utility: GD is ahead in 1, KL in 0, neither in 1 of 2 cells, 1 undecidable)."
    ) in said_of(rows)
    assert "(utility: 1 undecidable)." in said_of(rows[:1])
