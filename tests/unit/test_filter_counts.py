"""What filters do to candidates, and shards that stop at their first cells: never by chance, always by the share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mmunlearn.synthesis.filter_counts import check_first_cells, filter_counts, filter_table
from mmunlearn.synthesis.policy import AcceptanceError, Draw, Thresholds
from tests.unit.report_fixtures import candidate
from tests.unit.test_config_schema import ROOT, load, merged

PAPER = Thresholds(
    identity_l2=0.8, scene_cosine=0.3, scene_pair=0.3, subject_cosine=0.85, distortion=50, aesthetic=6
)


def cells(verdicts: str) -> list[list[Draw]]:
    """Two candidates a cell: of `v` the second is valid, of `-` none."""
    return [
        [Draw(candidate(f"p000-e{at:02d}", k), np.zeros(1), [] if one == "v" and k else ["scene"]) for k in (0, 1)]
        for at, one in enumerate(verdicts)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "planned", "share", "stops"),
    [
        ("-" * 16, 40, 0.2, False),  # four cells are left of the first twenty
        ("-" * 17, 40, 0.2, True),
        ("v" * 4 + "-" * 16, 40, 0.2, False),  # a fifth is not less than a fifth
        ("v" * 11 + "-" * 9, 40, 0.55, False),  # 0.55 * 20 is 11.000000000000002
        ("v" * 10 + "-" * 10, 40, 0.55, True),
        ("v" * 20 + "-" * 20, 40, 1.0, False),  # only the first twenty decide
        ("v--", 3, 0.4, True),  # a smaller shard is judged by all it has
        ("v-", 3, 0.4, False),
        ("-" * 20, 40, 0.0, False),
    ],
)
def test_the_first_cells_decide_as_soon_as_the_share_is_out_of_reach(verdicts, planned, share, stops):
    draws = cells(verdicts)
    check_first_cells(draws, planned, None, PAPER)
    stop = {"cells": 20, "share": share}
    for until in range(len(draws)):
        check_first_cells(draws[:until], planned, stop, PAPER)
    if stops:
        with pytest.raises(
            AcceptanceError, match=f"Found none in {verdicts.count('-')} of the {len(draws)} "
        ):
            check_first_cells(draws, planned, stop, PAPER)
    else:
        check_first_cells(draws, planned, stop, PAPER)


@pytest.mark.parametrize(
    ("preset", "acceptance", "at_most"),
    [
        (None, 0.78, 1e-164),  # as the default run measured: 17 of 20 cells would need 255 refusals in a row
        (None, 0.1, 1.3e-9),
        ("paper.yaml", 0.5, 1e-77),  # as its plan assumes
        ("paper.yaml", 0.1, 2.4e-8),  # 5e-6 in 200 shards
    ],
)
def test_no_shard_stops_by_chance(preset, acceptance, at_most):
    """A cell has no valid picture with (1 - acceptance)^max_attempts, and too many of the first have none."""
    images = merged(load(ROOT / "presets" / preset) if preset else {})["images"]
    stop, none = images["stop_below"], (1 - acceptance) ** images["max_attempts"]
    too_many = next(k for k in range(99) if (stop["cells"] - k) / stop["cells"] < stop["share"])
    assert too_many == (11 if preset else 17)
    assert binom.sf(too_many - 1, stop["cells"], none) < at_most


def test_each_filter_says_what_it_refuses_alone_and_how_near_the_limit():
    rows = [
        candidate("p000-e00", 0, "identity", identity_l2=0.81),
        candidate("p000-e00", 1, "identity, scene", identity_l2=1.3, scene_cosine=0.1),
        candidate("p000-e00", 2, "no face", identity_l2=None),
        candidate("p000-e00", 3, "scene", scene_cosine=0.29),
        candidate("p000-e00", 4, "surplus"),
        candidate("p000-e00", 5, ""),
    ]
    counts = filter_counts(rows, PAPER)
    identity, scene = counts["identity"], counts["scene"]
    assert (identity.refused, identity.alone, identity.unscored, identity.nearest) == (3, 2, 1, 0.81)
    assert (scene.refused, scene.alone, scene.unscored, scene.nearest) == (2, 1, 0, 0.29)
    assert identity.quantiles == [0.31, 0.31, 0.31, 0.81, 1.202], "of 0.31, 0.31, 0.31, 0.81 and 1.3"
    assert (counts["aesthetic"].refused, counts["aesthetic"].nearest) == (0, None)
    assert identity.ends == [0.31, 1.3] and scene.ends == [0.1, 0.72]
    assert [k for k, count in enumerate(identity.histogram) if count] == [0, 20, 39]
    assert identity.histogram[0] == 3 and sum(identity.histogram) == 5
    row = [cell.strip() for cell in filter_table(counts)[1]]
    assert row == ["identity", "3", "2", "1", "at most 0.8", "0.81", "0.31, 0.31, 1.202"]
    nothing = filter_counts([candidate("p000-e00", 0, "no face", identity_l2=None)], PAPER)["identity"]
    assert (nothing.refused, nothing.nearest, nothing.quantiles) == (1, None, [])
