"""Forget quality against utility, as in Figure 8 of PEBench: the further up and to the right, the better."""

from __future__ import annotations

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
from mmunlearn.reporting.style import look, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST, STEP = 38, 34  # marker areas, points squared: one step more for each larger percent


def plot_tradeoff(table: Path, out_png: Path, out_pdf: Path) -> None:
    """Plot Table III: one panel a target (columns) and model (rows).

    y is the mean of efficacy and generality, x the mean of retain, scope, real and world fact, both 0 to
    100. A row with a missing value is not drawn but named below its panel. Where the table holds several
    percents, they are joined by a line and larger percents have larger markers.
    """
    rows = read_table(table)
    models = list(dict.fromkeys(row["model"] for row in rows))
    percents = sorted({int(row["forget_percent"]) for row in rows})
    figure = new_figure(7.2, 3.15 * len(models) + 0.55)
    grid = figure.subplots(len(models), len(TARGETS), squeeze=False, sharex=True, sharey=True)
    for line, model in zip(grid, models, strict=True):
        for axes, target in zip(line, TARGETS, strict=True):
            chosen = [row for row in rows if (row["model"], row["target"]) == (model, target)]
            _panel(axes, chosen, percents)
            axes.set_title(f"{target.title()} unlearning, {model}", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("Utility: mean of retain, scope, real, world fact")
    for axes in grid[:, 0]:
        axes.set_ylabel("Forget quality:\nmean of efficacy, generality")
    _legend(figure, sorted({row["method"] for row in rows}, key=method_order), percents)
    save_figure(figure, out_png, out_pdf)


def point(row: Row) -> tuple[float, float] | None:
    """(utility, forget quality) of a row of Table III; None where a metric is missing."""
    if not all(row[metric] for metric in (*UTILITY_METRICS, *FORGET_METRICS)):
        return None
    utility, forget = (
        fmean(float(row[metric]) for metric in part) for part in (UTILITY_METRICS, FORGET_METRICS)
    )
    return utility, forget


def _panel(axes: Axes, rows: Table, percents: list[int]) -> None:
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        points = [
            (found, percents.index(int(row["forget_percent"]))) for row in mine if (found := point(row))
        ]
        axes.plot([xy[0] for xy, _ in points], [xy[1] for xy, _ in points], color="#888888", lw=0.7, zorder=2)
        for (x, y), size in points:
            _marker(axes, method, x, y, SMALLEST + STEP * size)
    absent = [f"{row['method']} {row['forget_percent']}%" for row in rows if point(row) is None]
    if absent:
        text = "not drawn (missing values): " + ", ".join(absent)
        axes.text(0.02, 0.02, text, transform=axes.transAxes, fontsize=7, color="#555555", va="bottom")
    axes.set(xlim=(-4, 104), ylim=(-4, 106), xticks=range(0, 101, 20), yticks=range(0, 101, 20))


def _marker(axes: Axes, method: str, x: float, y: float, area: float) -> None:
    style = look(method)
    area *= 2.2 if style.marker == "*" else 1
    fill = {"c": style.colour, "edgecolors": "black", "linewidths": 0.8}
    axes.scatter(x, y, s=area, marker=style.marker, zorder=3, clip_on=False, **fill)


def _legend(figure: Figure, methods: list[str], percents: list[int]) -> None:
    from matplotlib.lines import Line2D

    def handle(label: str, marker: str, colour: str, size: float) -> Line2D:
        return Line2D([], [], ls="", marker=marker, mfc=colour, mec="black", mew=0.8, ms=size, label=label)

    handles = [
        handle(method, look(method).marker, look(method).colour, 10 if method == "Goal" else 6.5)
        for method in methods
    ]
    if len(percents) > 1:
        sizes = [(SMALLEST + STEP * index) ** 0.5 for index in range(len(percents))]
        handles += [
            handle(f"{percent}%", "o", "white", size) for percent, size in zip(percents, sizes, strict=True)
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 10), handletextpad=0.1)
