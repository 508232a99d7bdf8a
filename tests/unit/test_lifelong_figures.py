"""The lifelong figures: every number where it belongs, four tasks or twenty, thirteen looks, gaps that are named."""

from __future__ import annotations

from functools import partial
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from statistics import fmean

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mmunlearn.records import RecordError
from mmunlearn.reporting.canvas import text_width
from mmunlearn.reporting.layout import read_table, write_table
from mmunlearn.reporting.lifelong_curves import matrix_tasks, so_far_means
from mmunlearn.reporting.lifelong_matrix import MARK, plot_lifelong_matrix, shade, short
from mmunlearn.reporting.lifelong_utility import PANELS, line_look, named_twins, plot_lifelong_utility
from mmunlearn.reporting.style import ink_on
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes
from tests.unit.lifelong_tables import METHODS, share, write

FOUR, TWENTY = "ABCD", "ABCDEFGHIJKLMNOPQRST"


def test_tasks_are_read_off_the_columns_and_means_run_over_the_tasks_so_far():
    row = {
        "A-UA": "1.0",
        "A-UB": "0.5",
        "A-UT9": "0.0",
        "B-UB": "0.7",
        "B-UT9": "",
        "T9-UT9": "0.3",
        "A-UA_low": "0",
    }
    assert matrix_tasks(row) == ["A", "B", "T9"]
    means = so_far_means(row, ["A", "B", "T9"])
    assert means[:2] == [1.0, 0.6] and means[2] != means[2], "where a task lacks its value there is no mean"
    with pytest.raises(RecordError, match=r"Asked for columns X-UY.*Found none"):
        matrix_tasks(["model", "UA"])


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (0.004, "0"), (0.436, ".44"), (0.5, ".50"), (0.996, "1")]
)
def test_a_number_takes_three_signs(number, text):
    assert short(number) == text
    assert text_width(text) < 16


@pytest.fixture
def matrix(tmp_path, monkeypatch):
    def drawn(tasks, methods=METHODS, models=("m",), **changed) -> Figure:
        table = write(tmp_path, tasks, methods, models) / "mlubench.csv"
        if changed:
            rows = read_table(table)
            rows[0] |= changed
            write_table(table, list(rows[0]), rows)
        return caught(monkeypatch, partial(plot_lifelong_matrix, table))

    return drawn


def boxes(figure: Figure) -> dict:
    """Name of a cell -> its square."""
    return {one.get_gid(): one for one in figure.axes[0].patches if one.get_gid()}


def test_every_cell_has_its_place_number_and_shade(matrix):
    figure = matrix(FOUR)
    assert_readable(figure)
    cells, texts = boxes(figure), {one.get_gid(): one for one in figure.axes[0].texts if one.get_gid()}
    assert len(cells) == len(METHODS) * 2 * 10
    corner = cells["GD/utility/A-UA"]
    side = corner.get_width()
    for method in ("GD", "Last expert"):
        for x, y in combinations_with_replacement(range(4), 2):
            name, number = f"{method}/utility/{FOUR[x]}-U{FOUR[y]}", share(method, "utility", x, y)
            box, text = cells[name], texts[name]
            assert to_hex(box.get_facecolor()) == to_hex(shade(number))
            assert text.get_text() == short(number)
            assert text.get_position() == pytest.approx((box.get_x() + side / 2, box.get_y() + side / 2))
            if method == "GD":
                assert box.get_x() - corner.get_x() == pytest.approx(side * y), "columns are stages"
                assert box.get_y() - corner.get_y() == pytest.approx(side * x), "rows are tasks"
    titles = [one.get_text() for one in figure.axes[0].texts if one.get_fontweight() == "bold"]
    assert titles == list(METHODS)
    assert [to_hex(shade(number)) for number in (0.0, 1.0)] == ["#ffffff", "#004488"], (
        "the higher, the darker"
    )


def test_a_collapsed_cell_is_marked_in_the_forget_map_alone(matrix):
    figure = matrix(FOUR, ("GA",))
    marks = [one for one in figure.axes[0].patches if to_hex(one.get_facecolor()) == MARK.lower()]
    high = [(x, y) for x in range(4) for y in range(x, 4) if share("GA", "degenerate", x, y) > 0.5]
    assert len(marks) == len(high) > 4
    first = boxes(figure)["GA/forget/A-UA"]
    ends = [(box.get_x() + box.get_width(), box.get_y()) for box in (marks[0], first)]
    assert ends[1][0] - 2 < ends[0][0] < ends[1][0] - 1 and ends[1][1] + 1 < ends[0][1] < ends[1][1] + 2


def test_every_number_stands_out_from_its_cell_and_is_white_as_early_as_may_be():
    """Contrast as WCAG 2 defines it, of all shades."""
    found = []
    for number in range(101):
        colour = shade(number / 100)
        ink = ink_on(colour)
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
        light = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        contrasts = {"white": 1.05 / (light + 0.05), "black": (light + 0.05) / 0.05}
        assert contrasts[ink] >= 4.5 and (ink == "white") == (contrasts["white"] >= 4.5)
        found.append(ink)
    assert found[50] == "white"
    assert found == ["black"] * found.count("black") + ["white"] * found.count("white")


def test_a_missing_cell_is_hatched_and_its_reason_named(matrix):
    figure = matrix(FOUR, **{"A-UC": "", "reason": "A-UC: no rating"})
    assert sum(bool(one.get_hatch()) for one in figure.axes[0].patches) == 1
    assert "Hatched: no value (no rating)." in " ".join(one.get_text() for one in figure.axes[0].texts)


def test_the_matrix_of_twenty_tasks_and_of_two_models_fits(matrix):
    figure = matrix(TWENTY, METHODS[:3], ("m", "n"))
    assert_readable(figure)
    assert len([one for one in figure.axes[0].patches if one.get_gid()]) == 2 * 3 * 2 * 210
    texts = [one.get_text() for one in figure.axes[0].texts]
    assert texts.count("GA") == 2 and {"m", "n"} <= set(texts)
    assert not any(text.startswith(".") for text in texts), "cells are too small for numbers"
    one_line = [text for text in texts if text in TWENTY]
    assert 0 < len(one_line) < 2 * 3 * 2 * 40, "names that would touch are left out"


@pytest.fixture
def lines(tmp_path, monkeypatch):
    def drawn(tasks, methods=METHODS, models=("m",), lost: str = "") -> Figure:
        folder = write(tmp_path, tasks, methods, models)
        table, beside = folder / "mlubench.csv", folder / "lifelong_untouched.csv"
        if lost:
            rows = read_table(table)
            rows[1][lost] = ""
            write_table(table, list(rows[0]), rows)
        return caught(monkeypatch, partial(plot_lifelong_utility, table, beside))

    return drawn


def curve(figure: Figure, panel: int, method: str) -> list[float]:
    (line,) = (line for line in figure.axes[panel].lines if line.get_label() == method)
    return list(line.get_ydata())


@pytest.mark.parametrize("tasks", [FOUR, TWENTY])
def test_a_line_a_method_runs_over_the_tasks(lines, tasks):
    figure = lines(tasks)
    assert_readable(figure)
    for number, metric in enumerate(("forget", "knows", "degenerate", "utility", "utility")):
        for method in METHODS:
            expected = [
                fmean(share(method, metric, x, y) for x in range(y + 1))
                if number < 4
                else share(method, metric, 0, y)  # of the untouched
                for y in range(len(tasks))
            ]
            assert curve(figure, number, method) == pytest.approx(expected)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(shown) == len(tasks) and shown[-1] == tasks[-1]
    assert figure.axes[0].get_xlim() == (-0.5, len(tasks) - 0.5)
    legend = [text.get_text() for text in figure.axes[len(PANELS)].get_legend().get_texts()]
    assert legend == list(METHODS)


def test_no_two_methods_look_alike_and_variants_have_their_methods_colour():
    looks = {method: line_look(method, METHODS) for method in METHODS}
    told = [(look["color"], look["ls"], look.get("marker"), look.get("fillstyle")) for look in looks.values()]
    assert all(one != other for one, other in combinations(told, 2))
    assert looks["GA, stopped"]["color"] == looks["GA"]["color"] != looks["GD"]["color"]
    for part in ("color", "marker"):
        assert len({looks[name][part] for name in METHODS if name.startswith("LUMoE")}) == 3, part


def test_a_line_that_another_covers_at_every_point_is_named():
    lines = {"LUMoE": [1.0, 0.9], "LUMoE, prototypes": [1.0, 0.8], "LUMoE, oracle gate": [1.0, 0.9]}
    assert list(named_twins(lines).values()) == ["LUMoE", "LUMoE, prototypes", "LUMoE, oracle gate (= LUMoE)"]


def test_a_gap_is_named_below_and_the_figure_says_how_to_read_it(lines):
    assert "collapse, not by knowledge" in notes(lines(FOUR)) and "Gaps" not in notes(lines(FOUR))
    figure = lines(FOUR, lost="A-UC")
    assert "Gaps: m, GA: Utility." in notes(figure)
    values = curve(figure, 3, "GA")
    assert [number == number for number in values] == [True, True, False, True]


def test_models_stand_below_each_other(lines):
    figure = lines(FOUR, METHODS[:2], ("llava", "qwen"))
    assert_readable(figure)
    assert [part.get_suptitle() for part in figure.subfigs] == ["llava", "qwen"]
    assert len(figure.axes) == 12


def test_bytes_depend_on_the_tables_alone(tmp_path: Path):
    folder = write(tmp_path, "AB", METHODS[:2])
    assert_same_bytes(tmp_path, partial(plot_lifelong_matrix, folder / "mlubench.csv"))
    beside = folder / "lifelong_untouched.csv"
    assert_same_bytes(tmp_path, partial(plot_lifelong_utility, folder / "mlubench.csv", beside))
