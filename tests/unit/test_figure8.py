"""Figure 8: Table III's means where they belong, gaps that are named, one look a method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mmunlearn.reporting import figure8
from mmunlearn.reporting.figure8 import plot_figure8, point
from mmunlearn.reporting.layout import METRICS, write_table
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes
from tests.unit.report_fixtures import table3, write_scores

METHODS = ("Finetune", "PO", "GD", "NPO", "mine", "Goal")


def write_rows(folder: Path, models: tuple[str, ...] = ("m",), lost: tuple[str, int] | None = None) -> Path:
    """A table of three percents; of the `lost` method and percent, Real is missing."""
    rows = [
        {
            "model": model,
            "forget_percent": str(percent),
            "method": method,
            "target": target,
            **{
                metric: str(45 + 7 * METHODS.index(method) - percent + at)
                for at, metric in enumerate(METRICS)
            },
            **({"real": ""} if (method, percent) == lost else {}),
        }
        for model in models
        for percent in (5, 10, 15)
        for method in METHODS
        for target in ("person", "event")
    ]
    write_table(folder / "table3.csv", ["model", "forget_percent", "method", "target", *METRICS], rows)
    return folder / "table3.csv"


def markers(figure: Figure, panel: int, method: str) -> dict[tuple[float, float], float]:
    """Place -> area of a method's markers."""
    found = [one for one in figure.axes[panel].collections if one.get_label() == method]
    return {tuple(float(part) for part in one.get_offsets()[0]): float(one.get_sizes()[0]) for one in found}


def test_a_point_is_the_means_of_its_row() -> None:
    row = dict(zip(METRICS, map(str, (90, 100, 10, 20, 30, 40)), strict=True))
    assert point(row) == (25, 95)
    assert point(row | {"scope": ""}) is None


def test_it_is_drawn_from_the_table_alone(tmp_path: Path) -> None:
    table = table3(tmp_path, write_scores(tmp_path))["csv"]
    assert_same_bytes(tmp_path, lambda png, pdf: plot_figure8(table, png, pdf))


def test_every_percent_of_a_method_has_its_place_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_rows(tmp_path, ("llava-1.5-7b", "llama-3.2-vision-11b"))
    figure = caught(monkeypatch, figure8, lambda png, pdf: plot_figure8(table, png, pdf))
    assert [axes.get_title(loc="left") for axes in figure.axes][::3] == [
        "Person, llava-1.5-7b", "Event, llama-3.2-vision-11b",
    ]  # fmt: skip
    gd = markers(figure, 0, "GD")
    assert list(gd) == [(45 + 14 - percent + 3.5, 45 + 14 - percent + 0.5) for percent in (5, 10, 15)]
    assert sorted(gd.values()) == list(gd.values()) and len(set(gd.values())) == 3
    assert len(set(markers(figure, 0, "Goal").values())) == 1
    assert figure.axes[0].get_xlim()[0] < 20 <= min(x for x, _ in markers(figure, 0, "Finetune"))
    assert_readable(figure)


def test_a_missing_value_is_a_gap_in_the_line_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_rows(tmp_path, lost=("GD", 10))
    figure = caught(monkeypatch, figure8, lambda png, pdf: plot_figure8(table, png, pdf))
    assert len(markers(figure, 0, "GD")) == 2
    line = figure.axes[0].lines[METHODS.index("GD")]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    assert notes(figure) == "Not drawn for want of a value: GD, person 10%; GD, event 10%."
    assert_readable(figure)


def test_methods_have_their_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_rows(tmp_path)
    figure = caught(monkeypatch, figure8, lambda png, pdf: plot_figure8(table, png, pdf))
    for one in figure.axes[0].collections:
        assert to_hex(one.get_facecolor()[0]).upper() == look(one.get_label()).colour
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*METHODS, "5%", "10%", "15%"]
