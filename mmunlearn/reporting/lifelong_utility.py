"""Every method over the tasks: what it forgets, what it still knows, what it is good for, and whether it collapsed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.reporting import style
from mmunlearn.reporting.layout import Row, read_table, select, values
from mmunlearn.reporting.lifelong_curves import matrix_tasks, metric_rows, so_far_means, value, variant_of
from mmunlearn.reporting.lifelong_published import LUMOE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
FILLINGS = ("full", "none", "left", "bottom")
LUMOE_LOOKS = (("#BBBBBB", "h"), ("#997700", "^"), ("#666666", "*"), ("#EECC66", "P"))
"""Colour and marker of the rows of experts, which differ in their gates alone."""
REFERENCE = "Base"
MANY = 8  # tasks, from which on lines and markers are smaller
DODGE = 0.42  # of the step between two tasks: markers of different methods stand beside each other
READING = (
    "Unweighted means over all tasks so far; untouched: entities that no task names, a mean of questions. Degenerate: "
    "no sensible language; where it is high, forget quality is low by collapse, not by knowledge. A line that is not "
    "seen lies under another of the same values. No intervals here: mlubench.csv."
)


@dataclass(frozen=True)
class Panel:
    """One panel: a metric of mlubench.csv, or of the untouched entities."""

    title: str
    unit: str
    metric: str
    untouched: bool = False


PANELS = (
    Panel("Forget quality", "forget sets, 1 is best", "forget"),
    Panel("Still known", "forget sets, 0 is best", "knows"),
    Panel("Degenerate", "forget sets, 0 is best", "degenerate"),
    Panel("Utility", "retain sets, 1 is best", "utility"),
    Panel("Utility, untouched", "untouched entities, 1 is best", "utility", untouched=True),
)


def plot_lifelong_utility(table: Path, untouched: Path, png: Path, pdf: Path) -> None:
    """Plot a block of panels a model, a line a method, tasks at even distances in the order of unlearning.

    A row such as `GA, stopped` has GA's colour, another dash and a hollow marker; the base is a thin line without
    markers. A missing value is a gap, and named below.

    Args:
        table: mlubench.csv: `model, method, metric, X-UY, ...`, values in [0, 1].
        untouched: lifelong_untouched.csv: `model, method, metric, entity_class, UY, ...`.

    Raises:
        RecordError: the table has no column X-UY.
    """
    rows, beside = read_table(table), select(read_table(untouched), entity_class="all")
    tasks = matrix_tasks(rows[0] if rows else ())
    models, notes = values(rows, "model"), []
    figure = style.new_figure(7.2, 4.0 * len(models) + 0.5)
    figure.get_layout_engine().set(w_pad=0.03, wspace=0.02)
    for part, model in zip(figure.subfigures(len(models), 1, squeeze=False)[:, 0], models, strict=True):
        if len(models) > 1:
            part.suptitle(model, x=0.012, ha="left", fontsize=9.5)
        of_model = select(rows, model=model)
        methods = values(of_model, "method")
        grid = list(part.subplots(2, 3, sharey=True).flat)
        whole: dict[str, list[float]] = {}
        for axes, panel in zip(grid, PANELS, strict=False):
            found = metric_rows(select(beside, model=model) if panel.untouched else of_model, panel.metric)
            lines = {method: curve(panel, found.get(method, {}), tasks) for method in methods}
            whole = {method: whole.get(method, []) + lines[method] for method in methods}
            _draw_panel(axes, panel, lines, tasks)
            notes += [
                f"{model}, {method}: {panel.title}"
                for method in methods
                if any(map(math.isnan, lines[method]))
            ]
        _draw_legend(grid[len(PANELS)], named_twins(whole))
    style.write_notes(figure, notes, "Gaps", reading=READING)
    style.save_figure(figure, png, pdf)


def curve(panel: Panel, row: Row, tasks: Sequence[str]) -> list[float]:
    """A method's value after every task; not a number where one is missing."""
    if panel.untouched:
        return [value(row, f"U{stage}") for stage in tasks]
    return so_far_means(row, tasks)


def named_twins(lines: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Method -> its label, which names the first that is equal to it at every point: `LUMoE, oracle gate (= LUMoE)`."""
    first: dict[tuple[float, ...], str] = {}
    labels = {}
    for method, line in lines.items():
        twin = first.setdefault(tuple(line), method)
        labels[method] = method if twin == method else f"{method} (= {twin})"
    return labels


def line_look(method: str, methods: Sequence[str]) -> dict[str, Any]:
    """How a method's line looks: in the colour of what it varies, each variant with a dash and a filling of its own;
    rows of experts with colours and markers of their own."""
    if method == REFERENCE:
        return {"color": "black", "ls": style.GOAL_LINE, "lw": 1.0}
    kind = style.look(variant_of(method))
    alike = [one for one in methods if one != REFERENCE and style.look(variant_of(one)) == kind]
    number = alike.index(method) % len(DASHES)
    marks = style.marks(variant_of(method), 4.6)
    if variant_of(method) == LUMOE:
        colour, marker = LUMOE_LOOKS[number % len(LUMOE_LOOKS)]
        size = 7.0 if marker == "*" else 4.6
        return marks | {
            "marker": marker,
            "mfc": colour,
            "ms": size,
            "color": colour,
            "ls": DASHES[number],
            "lw": 1.5,
        }
    return {**marks, "color": kind.colour, "ls": DASHES[number], "lw": 1.5, "fillstyle": FILLINGS[number]} | {
        "markerfacecoloralt": "white"
    }


def _draw_panel(axes: Axes, panel: Panel, lines: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> None:
    methods = list(lines)
    for number, method in enumerate(methods):
        look = line_look(method, methods) | ({"ms": 3.2, "lw": 1.2} if len(tasks) > MANY else {})
        shift = DODGE * (number / max(len(methods) - 1, 1) - 0.5)
        at = [place + shift for place in range(len(tasks))]
        plain = {key: look.pop(key) for key in ("ls", "lw")}
        reference = method == REFERENCE
        line = {"color": look["color"], "zorder": 2 if reference else 3, **plain}
        axes.plot(
            at, lines[method], path_effects=None if reference else style.casing(plain["lw"] + 0.6), **line
        )
        axes.plot(at, lines[method], ls="", zorder=4, label=method, **look)
    axes.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(-0.05, 1.05), yticks=(0, 0.25, 0.5, 0.75, 1))
    axes.set_xticks(range(len(tasks)), _named(tasks))
    axes.tick_params(labelsize=style.SMALL, length=2, pad=2)
    axes.set_title(panel.title, fontweight="bold", fontsize=8.5, pad=15)
    axes.annotate(panel.unit, (0.5, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", ha="center",
                  fontsize=style.SMALL, color="#555555")  # fmt: skip
    axes.set_xlabel("after unlearning task", fontsize=style.SMALL)


def _named(tasks: Sequence[str]) -> list[str]:
    """Every task, or every so many, the last among them, where their names would touch."""
    room = sum(max(len(task), 1) + 1 for task in tasks)
    every = math.ceil(room / 26)
    return [task if (len(tasks) - 1 - place) % every == 0 else "" for place, task in enumerate(tasks)]


def _draw_legend(axes: Axes, labels: Mapping[str, str]) -> None:
    """All methods by their labels, in the place of a panel."""
    from matplotlib.lines import Line2D

    axes.axis("off")
    handles = [
        Line2D([], [], label=label, **line_look(method, list(labels))) for method, label in labels.items()
    ]
    axes.legend(
        handles=handles, loc="center", fontsize=style.SMALL, handlelength=3, labelspacing=0.3, borderaxespad=0
    )
