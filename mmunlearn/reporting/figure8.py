"""Forget quality against utility, as in Figure 8 of PEBench: the further up and to the right, the better."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from mmunlearn.ids import TARGETS
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import (
    BOUNDS,
    FORGET_METRICS,
    UTILITY_METRICS,
    Row,
    Table,
    in_order,
    read_table,
    select,
    values,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST, STEP = 32, 30  # marker areas, points squared: one step more for each larger percent
END = 50  # of Finetune and Goal, the same for every percent


def plot_figure8(table: Path, png: Path, pdf: Path) -> None:
    """Plot Table III: one panel a target (columns) and model (rows).

    y is the mean of efficacy and generality, x the mean of retain, scope, real and world fact; x begins at the
    multiple of 20 below the lowest one. A row with a missing value is not drawn but named below the panels. Where
    the table holds several percents, they are joined by a line and larger percents have larger markers.
    """
    rows = read_table(table)
    models = values(rows, "model")
    percents = sorted({int(row["forget_percent"]) for row in rows})
    areas = {percent: SMALLEST + STEP * index for index, percent in enumerate(percents)}
    points = [place for row in rows if (place := point(row))]
    left = 20 * int(min((utility for utility, _ in points), default=0) // 20)
    figure = style.new_figure(7.2, 2.75 * len(models) + 0.6)
    grid = figure.subplots(len(models), len(TARGETS), squeeze=False, sharex=True, sharey=True)
    for line, model in zip(grid, models, strict=True):
        for axes, target in zip(line, TARGETS, strict=True):
            _draw_panel(axes, select(rows, model=model, target=target), areas, left)
            axes.set_title(f"{target.title()}, {model}", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("Utility: mean of retain, scope, real, world fact")
    for axes in grid[:, 0]:
        axes.set_ylabel("Forget quality:\nmean of efficacy, generality")
    handles = [style.method_handle(method) for method in in_order(values(rows, "method"))]
    if len(percents) > 1:
        white = {"marker": "o", "mfc": "white"}
        handles += [
            style.method_handle(f"{percent}%", **white, ms=area**0.5) for percent, area in areas.items()
        ]
    style.write_legend(figure, handles, 10, handletextpad=0.1)
    notes = [
        f"{row['method']}, {row['target']} {row['forget_percent']}%"
        + (f" of {row['model']}" if len(models) > 1 else "")
        for row in rows
        if point(row) is None
    ]
    style.write_notes(figure, notes, "Not drawn for want of a value")
    style.save_figure(figure, png, pdf)


def point(row: Row) -> tuple[float, float] | None:
    """(utility, forget quality) of a row of Table III; None where a metric is missing."""
    if not all(row[metric] for metric in (*UTILITY_METRICS, *FORGET_METRICS)):
        return None
    utility, forget = (
        fmean(float(row[metric]) for metric in part) for part in (UTILITY_METRICS, FORGET_METRICS)
    )
    return utility, forget


def _draw_panel(axes: Axes, rows: Table, areas: dict[int, int], left: int) -> None:
    """Markers and the lines that join them; a line breaks where a percent has no point, small markers lie on top."""
    nowhere = (math.nan, math.nan)
    for method in values(rows, "method"):
        points = {int(row["forget_percent"]): point(row) for row in select(rows, method=method)}
        xs, ys = zip(*(points.get(percent) or nowhere for percent in areas), strict=True)
        axes.plot(xs, ys, color="#777777", lw=0.8, zorder=2)
        look = style.look(method)
        grown = 2.2 if look.marker == "*" else 1
        for size, (x, y, area) in enumerate(zip(xs, ys, areas.values(), strict=True)):
            if not math.isnan(x):
                axes.scatter(
                    x, y, s=grown * (END if method in BOUNDS else area), marker=look.marker, c=look.colour,
                    edgecolors="black", linewidths=0.8, zorder=4 - size / len(areas), clip_on=False, label=method,
                )  # fmt: skip
    axes.set(xlim=(left - 0.04 * (100 - left), 104), ylim=(-4, 106))
    axes.set(xticks=range(left, 101, 10 if left >= 40 else 20), yticks=range(0, 101, 20))
