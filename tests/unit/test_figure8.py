"""Figure 8: Table III's means where they belong, gaps that are named, one look a method."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mmunlearn.ids import TARGETS
from mmunlearn.reporting.figure8 import plot_figure8, point
from mmunlearn.reporting.layout import METRICS, write_table
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, caught, notes

METHODS = ("Finetune", "PO", "GD", "NPO", "Other", "Goal")


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Figure]:
    """Plots a table of three percents; of the `lost` method and percent, Real is missing."""

    def drawn(models: tuple[str, ...] = ("m",), lost: tuple[str, int] | None = None) -> Figure:
        rows = []
        for model, percent, method, target in product(models, (5, 10, 15), METHODS, TARGETS):
            level = 45 + 7 * METHODS.index(method) - percent
            row = {"model": model, "forget_percent": str(percent), "method": method, "target": target}
            row |= {metric: str(level + at) for at, metric in enumerate(METRICS)}
            rows.append(row | ({"real": ""} if (method, percent) == lost else {}))
        table = tmp_path / "table3.csv"
        write_table(table, list(rows[0]), rows)
        return caught(monkeypatch, lambda *out: plot_figure8(table, *out))

    return drawn


def markers(figure: Figure, panel: int, method: str) -> dict[tuple[float, float], float]:
    """Place -> area of a method's markers."""
    points = [one for one in figure.axes[panel].collections if one.get_label() == method]
    return {tuple(float(part) for part in one.get_offsets()[0]): float(one.get_sizes()[0]) for one in points}


def test_a_point_is_the_means_of_its_row() -> None:
    row = dict(zip(METRICS, map(str, (90, 100, 10, 20, 30, 40)), strict=True))
    assert point(row) == (25, 95)
    assert point(row | {"scope": ""}) is None


def test_every_percent_of_a_method_has_its_place_size_and_look(draw: Callable[..., Figure]) -> None:
    figure = draw(("llava-1.5-7b", "llama-3.2-vision-11b"))
    assert [axes.get_title(loc="left") for axes in figure.axes][::3] == [
        "Person, llava-1.5-7b", "Event, llama-3.2-vision-11b",
    ]  # fmt: skip
    gd = markers(figure, 0, "GD")
    assert list(gd) == [(45 + 14 - percent + 3.5, 45 + 14 - percent + 0.5) for percent in (5, 10, 15)]
    assert sorted(gd.values()) == list(gd.values()) and len(set(gd.values())) == 3
    assert len(set(markers(figure, 0, "Goal").values())) == 1
    assert min(x for x, _ in markers(figure, 0, "Finetune")) == 33.5
    assert figure.axes[0].get_xlim()[0] == pytest.approx(20 - 0.04 * 80), "from the multiple of 20 below"
    for one in figure.axes[0].collections:
        assert to_hex(one.get_facecolor()[0]).upper() == look(one.get_label()).colour
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*METHODS, "5%", "10%", "15%"]
    assert_readable(figure)


def test_a_missing_value_is_a_gap_in_the_line_and_named(draw: Callable[..., Figure]) -> None:
    figure = draw(lost=("GD", 10))
    assert len(markers(figure, 0, "GD")) == 2
    line = figure.axes[0].lines[METHODS.index("GD")]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    assert notes(figure) == "Not drawn for want of a value: GD, person 10%; GD, event 10%."
    assert_readable(figure)
