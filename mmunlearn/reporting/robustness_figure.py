"""Four attacks at a glance: relearning curves, and a row a method for quantisation, membership and paraphrases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.records import RecordError
from mmunlearn.reporting.layout import TARGETS, Row, Table, method_order, read_table
from mmunlearn.reporting.style import SMALL, look, method_handle, new_figure, save_figure, write_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

SHAPES = ("o", "s", "D", "^", "v", "P")
GOAL_LINE = (0, (4, 2))


@dataclass(frozen=True)
class Column:
    """A column of panels: an attack's settings of one metric, and its axis."""

    attack: str
    metric: str
    title: str
    unit: str
    limits: tuple[float, float]
    ticks: tuple[float, ...]
    guide: float | None = None


COLUMNS = (
    Column("relearning", "recovered", "Relearning", "truth told again, %", (-5, 105), (0, 25, 50, 75, 100)),
    Column("quantisation", "efficacy", "Quantisation", "efficacy", (-6, 106), (0, 50, 100)),
    Column("membership", "auc", "Membership", "AUC", (-0.06, 1.06), (0, 0.5, 1), 0.5),
    Column("paraphrase", "efficacy", "Paraphrases", "efficacy", (-6, 106), (0, 50, 100)),
)


def plot_robustness(table: Path, png: Path, pdf: Path) -> None:
    """Plot a block of panels a model and percent: attacks in columns, the person target above the event target.

    Relearning is a curve a method over optimizer steps at even distances, Goal dashed. In the other columns a method
    is a line of the panel, and a setting a shape, with its 95% interval. A missing value is a gap, and named below.

    Raises:
        RecordError: the table is empty.
    """
    rows = read_table(table)
    if not rows:
        raise RecordError(f"Asked for the robustness figure. Found no row in {table}. Delete it and rerun.")
    blocks = list(dict.fromkeys((row["model"], row["forget_percent"]) for row in rows))
    sizes = [_lines([row for row in rows if (row["model"], row["forget_percent"]) == key]) for key in blocks]
    heights = [0.85 + sum(max(1.15, 0.185 * n + 0.35) for n in own.values()) for own in sizes]
    figure = new_figure(7.2, 0.55 + sum(heights))
    figure.get_layout_engine().set(w_pad=0.03, wspace=0.0)
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (model, percent), size in zip(parts, blocks, sizes, strict=True):
        own = [row for row in rows if (row["model"], row["forget_percent"]) == (model, percent)]
        part.suptitle(f"{model}, {percent}% of the concepts forgotten", x=0.012, ha="left", fontsize=9.5)
        _block(part, own, size)
    _legend(figure, _methods(rows))
    notes = [
        f"{row['model']}, {row['target']}, {row['method']}: no {row['attack']} ({row['setting']}, {row['reason']})"
        for row in rows
        if not row["value"]
    ]
    for note in notes:
        logger.warning("a gap in the robustness figure: %s", note)
    write_notes(figure, notes, "Gaps")
    save_figure(figure, png, pdf)


def _methods(rows: Table) -> list[str]:
    return sorted({row["method"] for row in rows}, key=method_order)


def _lines(rows: Table) -> dict[str, int]:
    """Target -> methods that were attacked."""
    found = {target: [row for row in rows if row["target"] == target] for target in TARGETS}
    return {target: len(_methods(own)) for target, own in found.items() if own}


def _block(part: Any, rows: Table, sizes: dict[str, int]) -> None:
    grid = part.subplots(
        len(sizes),
        len(COLUMNS),
        squeeze=False,
        width_ratios=[1.45, 1, 1, 1],
        height_ratios=list(sizes.values()),
    )
    for line, target in zip(grid, sizes, strict=True):
        for axes, column in zip(line, COLUMNS, strict=True):
            mine = [
                row
                for row in rows
                if (row["target"], row["attack"], row["metric"]) == (target, column.attack, column.metric)
            ]
            methods = _methods([row for row in rows if row["target"] == target])
            draw = _curves if column.attack == "relearning" else _dots
            draw(axes, column, mine, methods)
            axes.tick_params(labelsize=SMALL, length=2, pad=2)
            axes.tick_params(axis="y", length=2 if draw is _curves else 0)
        line[0].set_ylabel(f"{target.title()} unlearning\n{COLUMNS[0].unit}")
        for axes in line[2:]:
            axes.set_yticklabels([])
    for axes, column in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(column.title, fontweight="bold", fontsize=8.5, pad=4)
    grid[-1][0].set_xlabel("optimizer steps of relearning")
    for axes, column in zip(grid[-1][1:], COLUMNS[1:], strict=True):
        axes.set_xlabel(column.unit)
        settings = _settings(
            [row for row in rows if (row["attack"], row["metric"]) == (column.attack, column.metric)]
        )
        _key(axes, settings)


def _settings(rows: Table) -> list[str]:
    return list(dict.fromkeys(row["setting"] for row in rows))


def _curves(axes: Axes, column: Column, rows: Table, methods: Sequence[str]) -> None:
    from matplotlib.patheffects import Normal, withStroke

    steps = sorted({_step(row) for row in rows})
    for method in methods:
        points = {_step(row): row for row in rows if row["method"] == method}
        values = [_number(points.get(step), "value") for step in steps]
        style, goal = look(method), method == "Goal"
        cased = [] if goal else [withStroke(linewidth=2.1, foreground="#333333"), Normal()]
        line = {
            "ls": GOAL_LINE if goal else "-",
            "lw": 1.3,
            "color": style.colour,
            "path_effects": cased or None,
        }
        axes.plot(range(len(steps)), values, zorder=3, **line)
        marks = {"marker": style.marker, "mfc": style.colour, "mec": "black", "mew": 0.6}
        axes.plot(range(len(steps)), values, ls="", ms=6 if goal else 4.6, zorder=4, label=method, **marks)
    axes.set(xlim=(-0.4, len(steps) - 0.6), ylim=column.limits, yticks=column.ticks)
    axes.set_xticks(range(len(steps)), list(map(str, steps)))


def _step(row: Row) -> int:
    return int(row["setting"].removeprefix("step "))


def _dots(axes: Axes, column: Column, rows: Table, methods: Sequence[str]) -> None:
    settings = _settings(rows)
    if column.guide is not None:
        axes.axvline(column.guide, color="black", ls=GOAL_LINE, lw=1, zorder=1.5)
    for at, method in enumerate(methods):
        style = look(method)
        for number, setting in enumerate(settings):
            row = next((one for one in rows if (one["method"], one["setting"]) == (method, setting)), None)
            value, low, high = (_number(row, part) for part in ("value", "low", "high"))
            if value != value:
                continue
            place = at + _offset(number, len(settings))
            axes.plot([low, high], [place, place], color="#777777", lw=0.8, zorder=2, solid_capstyle="butt")
            axes.plot(
                value, place, SHAPES[number % len(SHAPES)], mfc=style.colour, mec="black", mew=0.6, ms=4.2, zorder=4,
                label=f"{method}, {setting}", clip_on=False,
            )  # fmt: skip
    axes.set(xlim=column.limits, xticks=column.ticks, ylim=(len(methods) - 0.4, -0.6))
    axes.set_xticks(column.ticks, [f"{tick:g}" for tick in column.ticks])
    axes.set_yticks(range(len(methods)), methods)
    axes.grid(visible=False, axis="y")
    for at in range(1, len(methods)):
        axes.axhline(at - 0.5, color="#E4E4E4", lw=0.6, zorder=0)


def _offset(number: int, count: int) -> float:
    return 0.0 if count < 2 else 0.62 * (number / (count - 1) - 0.5)


def _number(row: Row | None, part: str) -> float:
    return float(row[part]) if row and row[part] else float("nan")


def _key(axes: Axes, settings: Sequence[str]) -> None:
    """Which shape is which setting, below a column."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker=SHAPES[number % len(SHAPES)],
            mfc="#BBBBBB",
            mec="black",
            mew=0.6,
            ms=4.2,
            label=one,
        )
        for number, one in enumerate(settings)
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.32), fontsize=SMALL, ncols=1 + (len(handles) > 3),
        handletextpad=0.1, columnspacing=0.6, labelspacing=0.15, borderaxespad=0,
    )  # fmt: skip


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    handles = [
        method_handle(
            method, 5, ls=GOAL_LINE if method == "Goal" else "-", lw=1.4, color=_ink(method), mew=0.6
        )
        for method in methods
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 9),
        columnspacing=1.2,
        handletextpad=0.5,
    )


def _ink(method: str) -> str:
    colour = look(method).colour
    return "#999999" if colour == "#FFFFFF" else colour
