"""Four attacks at a glance: relearning curves, and a row a method for quantisation, membership and paraphrases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.ids import TARGETS
from mmunlearn.records import RecordError
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import Row, Table, distinct, in_order, read_table, select, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = ("o", "s", "D", "^", "v", "P")


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

    def rows(self, rows: Table) -> Table:
        """Those that the column shows."""
        return select(rows, attack=self.attack, metric=self.metric)


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
        raise RecordError(
            f"Asked for the robustness figure. Found no row in {table}. Run rule make_robustness again."
        )
    blocks = {
        (model, percent): _by_target(select(rows, model=model, forget_percent=percent))
        for model, percent in distinct(rows, "model", "forget_percent")
    }
    heights = [
        0.85 + sum(max(1.15, 0.185 * len(_methods(line)) + 0.35) for line in block.values())
        for block in blocks.values()
    ]
    figure = style.new_figure(7.2, 0.55 + sum(heights))
    figure.get_layout_engine().set(w_pad=0.03, wspace=0.0)
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (place, block) in zip(parts, blocks.items(), strict=True):
        part.suptitle(style.block_title(*place), x=0.012, ha="left", fontsize=9.5)
        _draw_block(part, block)
    handles = [_handle(method) for method in _methods(rows)]
    style.write_legend(figure, handles, 9, columnspacing=1.2, handletextpad=0.5)
    notes = [
        f"{row['model']}, {row['target']}, {row['method']}: no {row['attack']} ({row['setting']}, {row['reason']})"
        for row in rows
        if not row["value"]
    ]
    style.write_notes(figure, notes, "Gaps")
    style.save_figure(figure, png, pdf)


def _by_target(rows: Table) -> dict[str, Table]:
    """The rows of each target that was attacked."""
    return {target: part for target in TARGETS if (part := select(rows, target=target))}


def _methods(rows: Table) -> list[str]:
    return in_order(values(rows, "method"))


def _handle(method: str) -> Any:
    colour = style.look(method).colour
    ink = "#999999" if colour == "#FFFFFF" else colour
    return style.method_handle(
        method, 5, ls=style.GOAL_LINE if method == "Goal" else "-", lw=1.4, color=ink, mew=0.6
    )


def _draw_block(part: Any, block: Mapping[str, Table]) -> None:
    """The panels of one model: a line a target, as high as its methods need."""
    heights = [len(_methods(rows)) for rows in block.values()]
    shape = {"width_ratios": [1.45, 1, 1, 1], "height_ratios": heights}
    grid = part.subplots(len(block), len(COLUMNS), squeeze=False, **shape)
    for line, (target, rows) in zip(grid, block.items(), strict=True):
        for axes, column in zip(line, COLUMNS, strict=True):
            curves = column.attack == "relearning"
            (_draw_curves if curves else _draw_dots)(axes, column, column.rows(rows), _methods(rows))
            axes.tick_params(labelsize=style.SMALL, length=2, pad=2)
            axes.tick_params(axis="y", length=2 if curves else 0)
        line[0].set_ylabel(f"{target.title()} unlearning\n{COLUMNS[0].unit}")
        for axes in line[2:]:
            axes.set_yticklabels([])
    for axes, column in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(column.title, fontweight="bold", fontsize=8.5, pad=4)
    grid[-1][0].set_xlabel("optimizer steps of relearning")
    of_model = [row for rows in block.values() for row in rows]
    for axes, column in zip(grid[-1][1:], COLUMNS[1:], strict=True):
        axes.set_xlabel(column.unit)
        _draw_key(axes, values(column.rows(of_model), "setting"))


def _draw_curves(axes: Axes, column: Column, rows: Table, methods: Sequence[str]) -> None:
    steps = sorted({_step(row) for row in rows})
    for method in methods:
        points = {_step(row): row for row in select(rows, method=method)}
        numbers = [_number(points.get(step), "value") for step in steps]
        goal = method == "Goal"
        line = {"ls": style.GOAL_LINE if goal else "-", "path_effects": None if goal else style.casing(2.1)}
        axes.plot(range(len(steps)), numbers, zorder=3, lw=1.3, color=style.look(method).colour, **line)
        markers = style.marks(method, 6 if goal else 4.6)
        axes.plot(range(len(steps)), numbers, ls="", zorder=4, label=method, **markers)
    axes.set(xlim=(-0.4, len(steps) - 0.6), ylim=column.limits, yticks=column.ticks)
    axes.set_xticks(range(len(steps)), list(map(str, steps)))


def _step(row: Row) -> int:
    return int(row["setting"].removeprefix("step "))


def _draw_dots(axes: Axes, column: Column, rows: Table, methods: Sequence[str]) -> None:
    settings = values(rows, "setting")
    if column.guide is not None:
        axes.axvline(column.guide, color="black", ls=style.GOAL_LINE, lw=1, zorder=1.5)
    for at, method in enumerate(methods):
        for row in select(rows, method=method):
            value, low, high = (_number(row, part) for part in ("value", "low", "high"))
            if math.isnan(value):
                continue
            index = settings.index(row["setting"])
            place = at + _offset(index, len(settings))
            axes.plot([low, high], [place, place], color="#777777", lw=0.8, zorder=2, solid_capstyle="butt")
            dot = style.marks(method, 4.2) | {
                "marker": SHAPES[index % len(SHAPES)],
                "ls": "",
                "clip_on": False,
            }
            axes.plot(value, place, zorder=4, label=f"{method}, {row['setting']}", **dot)
    axes.set(xlim=column.limits, xticks=column.ticks, ylim=(len(methods) - 0.4, -0.6))
    axes.set_xticks(column.ticks, [f"{tick:g}" for tick in column.ticks])
    axes.set_yticks(range(len(methods)), methods)
    axes.grid(visible=False, axis="y")
    for at in range(1, len(methods)):
        axes.axhline(at - 0.5, color="#E4E4E4", lw=0.6, zorder=0)


def _offset(index: int, count: int) -> float:
    return 0.0 if count < 2 else 0.62 * (index / (count - 1) - 0.5)


def _number(row: Row | None, part: str) -> float:
    return float(row[part]) if row and row[part] else math.nan


def _draw_key(axes: Axes, settings: Sequence[str]) -> None:
    """Which shape is which setting, below a column."""
    handles = [
        style.method_handle(setting, 4.2, marker=SHAPES[index % len(SHAPES)], mfc="#BBBBBB", mew=0.6)
        for index, setting in enumerate(settings)
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=1 + (len(handles) > 3),
        fontsize=style.SMALL, handletextpad=0.1, columnspacing=0.6, labelspacing=0.15, borderaxespad=0,
    )  # fmt: skip
