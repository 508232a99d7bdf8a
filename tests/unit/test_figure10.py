"""Figure 10: World Fact by target from Tables III and IV, each number once."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mmunlearn.ids import TARGETS
from mmunlearn.records import RecordError
from mmunlearn.reporting.figure10 import facts, plot_figure10
from mmunlearn.reporting.layout import read_table, write_table
from mmunlearn.reporting.style import look
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes

COLUMNS = ["model", "forget_percent", "method", "target", "world_fact", "world_fact_low", "world_fact_high"]
ALONE = {
    "person": {"Finetune": 84.3, "PO": 80.1, "GD": 79.4, "KL": 82.9, "Goal": 86.7},
    "event": {"Finetune": 84.3, "PO": 58.1, "GD": 82.7, "KL": 80.3, "Goal": 86.0},
}
BOTH = {"Finetune": 84.3, "GD": 71.5, "GD+BGD": 77.9, "KL": 68.2, "KL+BGD": 74.0, "Goal": 85.1}


def row(model: str, method: str, target: str, value: float | None, percent: int = 5) -> dict[str, str]:
    numbers = ["", "", ""] if value is None else [f"{end:.2f}" for end in (value, value - 4, value + 3)]
    return dict(zip(COLUMNS, (model, str(percent), method, target, *numbers), strict=True))


def write(folder: Path, models: tuple[str, ...] = ("m",), **changed: float | None) -> tuple[Path, Path]:
    """Tables III and IV, lower by 10 for each further model; `changed` replaces values of Table IV."""
    both = BOTH | {method.replace("_", "+"): value for method, value in changed.items()}
    alone, together = [], []
    for (at, model), target in product(enumerate(models), TARGETS):
        alone += [row(model, name, target, value - 10 * at) for name, value in ALONE[target].items()]
        alone.append(row(model, "GD", target, 1.0, percent=10))
        together += [row(model, name, target, value and value - 10 * at) for name, value in both.items()]
    write_table(folder / "table3.csv", COLUMNS, alone)
    write_table(folder / "table4.csv", COLUMNS, together)
    return folder / "table3.csv", folder / "table4.csv"


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda tables: caught(monkeypatch, lambda *out: plot_figure10(*tables, 5, *out))


def bars(figure: Figure, panel: int = 0) -> list[tuple[str, float]]:
    """Method and height of the bars, from left to right."""
    return [(one.get_label(), round(one.patches[0].get_height(), 2)) for one in figure.axes[panel].containers]


def test_bars_stand_by_target_in_the_papers_order(tmp_path: Path, draw: Any) -> None:
    figure = draw(write(tmp_path))
    assert bars(figure) == [
        ("GD", 79.4), ("KL", 82.9), ("GD", 82.7), ("KL", 80.3),
        ("GD", 71.5), ("GD+BGD", 77.9), ("KL", 68.2), ("KL+BGD", 74.0),
    ]  # fmt: skip
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["Person", "Event", "Person and event"]
    first = [one.patches[0] for one in axes.containers]
    gaps = [b.get_x() - a.get_x() for a, b in pairwise(first)]
    assert gaps == pytest.approx([1, 1.9, 1, 1.9, 1, 1, 1]), "groups stand apart"
    for one, bar in zip(axes.containers, first, strict=True):
        style = look(one.get_label())
        assert (to_hex(bar.get_facecolor()).upper(), bar.get_hatch() or "") == (style.colour, style.hatch)
    assert look("GD").colour == look("GD+BGD").colour and look("GD").hatch != look("GD+BGD").hatch
    assert notes(figure) == ""
    assert_readable(figure)


def test_intervals_and_lines_are_the_tables(tmp_path: Path, draw: Any) -> None:
    axes = draw(write(tmp_path)).axes[0]
    spans = {tuple(float(end) for end in one.get_ydata()) for one in axes.lines if one.get_ls() == "-"}
    assert (75.4, 82.4) in spans and (64.2, 71.2) in spans
    assert next(one for one in axes.lines if one.get_label() == "Finetune").get_ydata()[0] == 84.3
    goals = [one.get_segments()[0][0][1] for one in axes.collections if one.get_label() == "Goal"]
    assert goals == [86.7, 86.0, 85.1]


def test_a_missing_value_has_no_bar_and_is_named(tmp_path: Path, draw: Any) -> None:
    figure = draw(write(tmp_path, KL_BGD=None))
    assert "KL+BGD" not in dict(bars(figure))
    assert "no value" in [text.get_text() for text in figure.axes[0].texts]
    assert notes(figure) == "No value: KL+BGD, person and event."


def test_both_is_read_once_and_from_the_row_that_has_it(tmp_path: Path) -> None:
    table3, table4 = (read_table(path) for path in write(tmp_path))
    for one in table4:
        if (one["method"], one["target"]) == ("GD", "person"):
            one["world_fact"] = ""
    bars = facts(table3, table4, "m")
    assert [one.value for one in bars if (one.method, one.group) == ("GD", "both")] == [71.5]
    assert "PO" not in {one.method for one in bars}


def test_several_models_stand_below_each_other(tmp_path: Path, draw: Any) -> None:
    figure = draw(write(tmp_path, ("llava-1.5-7b", "llama-3.2-vision-11b"), KL=None))
    assert len(figure.axes) == 2 and len(bars(figure, 1)) == 7
    assert [bars(figure, panel)[0] for panel in (0, 1)] == [("GD", 79.4), ("GD", 69.4)]
    assert "llama-3.2-vision-11b, KL, person and event" in notes(figure)
    assert_readable(figure)


def test_two_runs_are_the_same_bytes(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert_same_bytes(tmp_path, lambda *out: plot_figure10(*paths, 5, *out))


def test_a_percent_that_was_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"Figure 10 at 10%\. Found no such row in .*table4\.csv\. Add 10"):
        plot_figure10(*write(tmp_path), 10, tmp_path / "a.png", tmp_path / "a.pdf")
