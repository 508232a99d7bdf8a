"""Every method's matrices, as MLUBench's Tables 2 and 23: forget quality and utility of task X after unlearning Y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.reporting import style
from mmunlearn.reporting.canvas import LINE, Canvas, draw_canvas, shorten, text_width, wrap
from mmunlearn.reporting.layout import Row, Table, read_table, reason_of, select, values
from mmunlearn.reporting.lifelong_curves import at, matrix_tasks, metric_rows

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

WIDTH, MARGIN = 518.0, 10.0
SIDE, READABLE = 18.0, 16.0  # of a cell in points: at most, and from which on it has its number
GAP = 8.0
SHADES = ("#FFFFFF", "#4477AA", "#004488")  # 0 to 1: darker in grey, too, and white digits from a half on
COLLAPSED = 0.5  # share of degenerate answers from which on a cell is marked
MARK = "#994455"
TITLES = {"forget": "forget quality", "utility": "utility"}
READING = (
    "Rows: the task X that is asked about; columns: after unlearning task Y. 1 is best. A red corner: more than half "
    "of the answers to the forget questions are degenerate: a low number there is collapse, not knowledge."
)


def plot_lifelong_matrix(table: Path, png: Path, pdf: Path) -> None:
    """Draw a panel a method, models below each other.

    Numbers stand in the cells where these are large enough, of up to four tasks in three panels a line, of more in two.
    A missing value is hatched, and its reason stands below.

    Args:
        table: mlubench.csv: `model, method, metric, X-UY, ...`, values in [0, 1].

    Raises:
        RecordError: it has no column X-UY.
    """
    rows = read_table(table)
    tasks = matrix_tasks(rows[0] if rows else ())
    page, width = Canvas(), WIDTH - 2 * MARGIN
    y, models = 0.0, values(rows, "model")
    for model in models:
        of_model = select(rows, model=model)
        if len(models) > 1:
            page.text(0, y, shorten(model, width, 9.5), 9.5, weight="bold")
            y += 1.5 * LINE
        y = _draw_model(page, of_model, tasks, y, width)
    y = page.add(_colour_bar(), 0, y)
    page.lines(0, y + 5, wrap(" ".join([READING, *_hatched(rows)]), width))
    style.save_figure(draw_canvas(page, WIDTH, MARGIN), png, pdf)


def _draw_model(page: Canvas, rows: Table, tasks: Sequence[str], y: float, width: float) -> float:
    """Panels of all methods, line by line; where the next model begins."""
    across = 3 if len(tasks) <= 4 else 2
    room, methods = width / across, values(rows, "method")
    for start in range(0, len(methods), across):
        bottom = y
        for place, method in enumerate(methods[start : start + across]):
            panel = _panel(select(rows, method=method), method, tasks, room - GAP)
            bottom = max(bottom, page.add(panel, room * place, y))
        y = bottom + GAP
    return y


def _panel(rows: Table, method: str, tasks: Sequence[str], room: float) -> Canvas:
    """A method's two matrices side by side."""
    panel, metrics = (
        Canvas(),
        {metric: metric_rows(rows, metric).get(method) for metric in (*TITLES, "degenerate")},
    )
    gutter = 4 + max(map(text_width, tasks))
    side = min(SIDE, ((room - GAP) / 2 - gutter) / len(tasks))
    panel.text(gutter, 0, shorten(method, 0.85 * (room - gutter)), weight="bold")
    for number, (metric, title) in enumerate(TITLES.items()):
        x, y = number * (side * len(tasks) + gutter + GAP) + gutter, 2.2 * LINE
        panel.text(x, y - LINE - 1, title, color="#555555")
        collapsed = metrics["degenerate"] if metric == "forget" else None
        _matrix(panel, metrics[metric], collapsed, tasks, (x, y, side))
    return panel


def _matrix(
    panel: Canvas,
    row: Row | None,
    collapsed: Row | None,
    tasks: Sequence[str],
    place: tuple[float, float, float],
) -> None:
    """One metric's cells with the names of tasks at the left and below."""
    left, top, side = place
    named = _named(tasks, side)
    for line, task in enumerate(tasks):
        y = top + line * side
        if line in named["rows"]:
            panel.text(left - 3, y + side / 2, task, ha="right", va="center_baseline")
        if line in named["columns"]:
            panel.text(left + (line + 0.5) * side, top + len(tasks) * side + 1, task, ha="center")
        for column in range(line, len(tasks)):
            number = at(row, task, tasks[column]) if row else math.nan
            name = f"{row['method']}/{row['metric']}/{task}-U{tasks[column]}" if row else None
            _cell(panel, (left + column * side, y, side), number, name)
            if collapsed and at(collapsed, task, tasks[column]) > COLLAPSED:
                _corner(panel, left + (column + 1) * side, y, side)


def _named(tasks: Sequence[str], side: float) -> dict[str, range]:
    """Which tasks are named: all, or every so many where names would touch."""
    wide = 3 + max(map(text_width, tasks))
    return {
        name: range(0, len(tasks), math.ceil(size / side))
        for name, size in (("rows", LINE), ("columns", wide))
    }


def _cell(panel: Canvas, place: tuple[float, float, float], number: float, name: str | None) -> None:
    x, y, side = place
    if math.isnan(number):
        panel.box(x, y, side, side, fc="white", ec="#AAAAAA", hatch="////", lw=0.4, gid=name)
        return
    colour = shade(number)
    panel.box(x, y, side, side, fc=colour, ec="#DDDDDD", lw=0.4, gid=name)
    if side >= READABLE:
        centred = {"ha": "center", "va": "center_baseline", "color": style.ink_on(colour), "zorder": 4}
        panel.text(x + side / 2, y + side / 2, short(number), gid=name, **centred)


def _corner(panel: Canvas, right: float, top: float, side: float) -> None:
    """A mark inside the cell, clear of its edges."""
    size, clear = max(2.2, 0.22 * side), 0.07 * side
    panel.box(right - clear - size, top + clear, size, size, fc=MARK, ec="none", zorder=3)


def short(number: float) -> str:
    """A number in [0, 1] in at most three signs: `.44`, `0`, `1`."""
    text = f"{number:.2f}"
    return text.rstrip("0").rstrip(".") if text in ("0.00", "1.00") else text.removeprefix("0")


def shade(number: float) -> Any:
    """The colour of a number in [0, 1]: the higher, the darker."""
    return _shades()(number)


@cache
def _shades() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", SHADES)


def _colour_bar() -> Canvas:
    bar, steps, wide = Canvas(), 50, 100.0
    for step in range(steps):
        bar.box(wide / steps * step + 10, 0, wide / steps + 0.2, 8, fc=shade(step / (steps - 1)), lw=0)
    bar.box(10, 0, wide, 8, fc="none", ec="black", lw=0.6)
    bar.text(7, -1.5, "0", ha="right")
    bar.text(13 + wide, -1.5, "1")
    return bar


def _hatched(rows: Table) -> list[str]:
    """Why cells are hatched, if any are."""
    tasks = matrix_tasks(rows[0])
    columns = [f"{task}-U{stage}" for place, task in enumerate(tasks) for stage in tasks[place:]]
    reasons = {
        reason_of(row, column)
        for row in rows
        for column in columns
        if row["metric"] in TITLES and not row[column]
    }
    return [f"Hatched: no value ({', '.join(sorted(reasons))})."] if reasons else []
