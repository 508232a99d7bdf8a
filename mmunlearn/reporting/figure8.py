"""Forget quality against utility, as in Figure 8 of PEBench: the further up and to the right, the better."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from mmunlearn.reporting.layout import (
    FORGET_METRICS,
    TARGETS,
    UTILITY_METRICS,
    Row,
    Table,
    method_order,
    read_table,
)
from mmunlearn.reporting.style import look, method_handle, new_figure, save_figure, write_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST, STEP = 32, 30  # marker areas, points squared: one step more for each larger percent
END = 50  # of Finetune and Goal, the same for every percent


def plot_figure8(table: Path, out_png: Path, out_pdf: Path) -> None:
    """Plot Table III: one panel a target (columns) and model (rows).

    y is the mean of efficacy and generality, x the mean of retain, scope, real and world fact; x begins at the
    multiple of 20 below the lowest one. A row with a missing value is not drawn but named below the panels. Where
    the table holds several percents, they are joined by a line and larger percents have larger markers.
    """
    rows = read_table(table)
    models = list(dict.fromkeys(row["model"] for row in rows))
    percents = sorted({int(row["forget_percent"]) for row in rows})
    utilities = [found[0] for row in rows if (found := point(row))]
    left = 20 * int(min(utilities, default=0) // 20)
    figure = new_figure(7.2, 2.75 * len(models) + 0.6)
    grid = figure.subplots(len(models), len(TARGETS), squeeze=False, sharex=True, sharey=True)
    for line, model in zip(grid, models, strict=True):
        for axes, target in zip(line, TARGETS, strict=True):
            chosen = [row for row in rows if (row["model"], row["target"]) == (model, target)]
            _panel(axes, chosen, percents, left)
            axes.set_title(f"{target.title()}, {model}", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("Utility: mean of retain, scope, real, world fact")
    for axes in grid[:, 0]:
        axes.set_ylabel("Forget quality:\nmean of efficacy, generality")
    _legend(figure, sorted({row["method"] for row in rows}, key=method_order), percents)
    write_notes(figure, _absent(rows, models), "Not drawn for want of a value")
    save_figure(figure, out_png, out_pdf)


def point(row: Row) -> tuple[float, float] | None:
    """(utility, forget quality) of a row of Table III; None where a metric is missing."""
    if not all(row[metric] for metric in (*UTILITY_METRICS, *FORGET_METRICS)):
        return None
    utility, forget = (
        fmean(float(row[metric]) for metric in part) for part in (UTILITY_METRICS, FORGET_METRICS)
    )
    return utility, forget


def _absent(rows: Table, models: list[str]) -> list[str]:
    """A note a row that is not drawn."""
    return [
        f"{row['method']}, {row['target']} {row['forget_percent']}%"
        + (f" of {row['model']}" if len(models) > 1 else "")
        for row in rows
        if point(row) is None
    ]


def _panel(axes: Axes, rows: Table, percents: list[int], left: int) -> None:
    """Markers and the lines that join them; a line breaks where a percent has no point, small markers lie on top."""
    nowhere = (math.nan, math.nan)
    for method in dict.fromkeys(row["method"] for row in rows):
        points = {int(row["forget_percent"]): point(row) for row in rows if row["method"] == method}
        xs, ys = zip(*(points.get(percent) or nowhere for percent in percents), strict=True)
        axes.plot(xs, ys, color="#777777", lw=0.8, zorder=2)
        for size, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if not math.isnan(x):
                area = END if method in ("Finetune", "Goal") else _areas(percents)[size]
                _marker(axes, method, x, y, area, 4 - size / len(percents))
    axes.set(xlim=(left - 0.04 * (100 - left), 104), ylim=(-4, 106))
    axes.set(xticks=range(left, 101, 10 if left >= 40 else 20), yticks=range(0, 101, 20))


def _marker(axes: Axes, method: str, x: float, y: float, area: float, order: float) -> None:
    style = look(method)
    area *= 2.2 if style.marker == "*" else 1
    fill = {"c": style.colour, "edgecolors": "black", "linewidths": 0.8}
    axes.scatter(x, y, s=area, marker=style.marker, zorder=order, clip_on=False, label=method, **fill)


def _legend(figure: Figure, methods: list[str], percents: list[int]) -> None:
    from matplotlib.lines import Line2D

    handles = [method_handle(method) for method in methods]
    if len(percents) > 1:
        handles += [
            Line2D(
                [],
                [],
                ls="",
                marker="o",
                mfc="white",
                mec="black",
                mew=0.8,
                ms=size**0.5,
                label=f"{percent}%",
            )
            for percent, size in zip(percents, _areas(percents), strict=True)
        ]
    columns = min(len(handles), 10)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handletextpad=0.1)


def _areas(percents: list[int]) -> list[int]:
    return [SMALLEST + STEP * index for index in range(len(percents))]
