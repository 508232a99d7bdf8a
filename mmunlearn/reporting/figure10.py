"""World Fact by what is unlearned: people, events, both at once, as in Figure 10 of PEBench."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.records import RecordError
from mmunlearn.reporting.layout import TARGETS, Table, method_order, read_table
from mmunlearn.reporting.layout import Row as Cells
from mmunlearn.reporting.style import SMALL, look, new_figure, save_figure, write_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

METRIC = "world_fact"
GROUPS = {"person": "Person", "event": "Event", "both": "Person and event"}
ENDS = ("Finetune", "Goal")
BAR, BETWEEN = 0.8, 0.9  # width of a bar and space between groups; a slot is 1
FINETUNE_LINE, GOAL_LINE = (0, (1, 1.4)), (0, (4, 2))


@dataclass(frozen=True)
class Fact:
    """World Fact of one method for one group of targets; None where it is missing."""

    method: str
    group: str
    value: float | None
    low: float | None = None
    high: float | None = None


def plot_figure10(table3: Path, table4: Path, percent: int, png: Path, pdf: Path) -> None:
    """Plot a panel a model: groups of bars by target, a bar a method of Table IV, with 95% intervals.

    The finetuned model is a dotted line throughout, the goal model of each target a dashed one. Methods that were
    not run for a target have no bar there; one without a value says so, and is named below.

    Args:
        table3: the targets unlearned alone.
        table4: both unlearned at once; its person and event rows share World Fact, which is used once.
        percent: share of the concepts that were forgotten.

    Raises:
        RecordError: Table IV has no row of that percent.
    """
    alone, both = (_of_percent(read_table(path), percent) for path in (table3, table4))
    if not both:
        raise RecordError(
            f"Asked for Figure 10 at {percent}%. Found no such row in {table4}. Add {percent} to "
            "dataset.both_percents, or change figures.percent."
        )
    models = list(dict.fromkeys(row["model"] for row in both))
    figure = new_figure(7.2, 0.55 + 2.45 * len(models))
    panels = figure.subplots(len(models), 1, squeeze=False, sharex=True)[:, 0]
    notes, methods = [], set()
    for axes, model in zip(panels, models, strict=True):
        found = facts(alone, both, model)
        _panel(axes, found)
        axes.set_title(f"{model}, {percent}% of the concepts forgotten", loc="left")
        head = f"{model}, " if len(models) > 1 else ""
        notes += [f"{head}{one.method}, {GROUPS[one.group].lower()}" for one in found if one.value is None]
        methods |= {one.method for one in found if one.method not in ENDS}
    panels[-1].set_xlabel("Unlearning target")
    _legend(figure, sorted(methods, key=method_order))
    for note in notes:
        logger.warning("no World Fact in Figure 10: %s", note)
    write_notes(figure, notes, "No value")
    save_figure(figure, png, pdf)


def facts(alone: Table, both: Table, model: str) -> list[Fact]:
    """What a model's panel shows, by group and in the paper's order of methods."""
    mine = [row for row in both if row["model"] == model]
    methods = sorted({row["method"] for row in mine}, key=method_order)
    found = []
    for group in GROUPS:
        for method in methods:
            rows = [row for row in (mine if group == "both" else alone) if row["method"] == method]
            if group != "both":
                rows = [row for row in rows if (row["model"], row["target"]) == (model, group)]
            if rows:
                found.append(_fact(method, group, rows))
    return found


def _fact(method: str, group: str, rows: Sequence[Cells]) -> Fact:
    """The first row's value that is there."""
    row = next((row for row in rows if row[METRIC]), None)
    if row is None:
        return Fact(method, group, None)
    low, high = (float(cell) if (cell := row.get(f"{METRIC}_{end}")) else None for end in ("low", "high"))
    return Fact(method, group, float(row[METRIC]), low, high)


def _of_percent(rows: Table, percent: int) -> Table:
    return [
        row for row in rows if int(row.get("forget_percent", percent)) == percent and row["target"] in TARGETS
    ]


def _panel(axes: Axes, found: Sequence[Fact]) -> None:
    place, centres = 0.0, {}
    for group, name in GROUPS.items():
        bars = [one for one in found if one.group == group and one.method not in ENDS]
        if not bars:
            continue
        first = place
        for one in bars:
            _bar(axes, place, one)
            place += 1
        goal = next((one for one in found if one.group == group and one.method == "Goal"), None)
        if goal and goal.value is not None:
            axes.hlines(
                goal.value, first - 0.65, place - 0.35, "black", GOAL_LINE, lw=1.1, zorder=4, label="Goal"
            )
        centres[name] = (first + place - 1) / 2
        place += BETWEEN
    start = next((one for one in found if one.method == "Finetune" and one.value is not None), None)
    if start:
        axes.axhline(start.value, color="black", ls=FINETUNE_LINE, lw=1.1, zorder=4, label="Finetune")
    axes.set_xticks(list(centres.values()), list(centres))
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set(
        xlim=(-0.9, place - BETWEEN - 0.1),
        ylim=(0, 100),
        yticks=range(0, 101, 20),
        ylabel="World Fact (POPE)",
    )


def _bar(axes: Axes, place: float, one: Fact) -> None:
    """A bar with its number at its foot, where no line crosses it, and its interval."""
    if one.value is None:
        axes.text(place, 3, "no value", ha="center", fontsize=SMALL, rotation=90, color="#444444")
        return
    axes.bar(place, one.value, BAR, label=one.method, zorder=2, **_fill(one.method))
    if one.low is not None and one.high is not None:
        for width, colour in (
            (3, "white"),
            (1.1, "black"),
        ):  # a black line that stands out from dark bars too
            axes.plot(
                [place, place], [one.low, one.high], color=colour, lw=width, zorder=5, solid_capstyle="butt"
            )
            axes.plot(
                [place, place],
                [one.low, one.high],
                ls="",
                marker="_",
                ms=6,
                mew=width,
                color=colour,
                zorder=5,
            )
    plate = {"boxstyle": "round,pad=0.22", "fc": "white", "ec": "none"}
    axes.text(place, 5, f"{one.value:.1f}", ha="center", fontsize=SMALL, bbox=plate, zorder=6)


def _fill(method: str) -> dict[str, Any]:
    """A bar's look: the method's colour, and hatching that stands out from it."""
    style = look(method)
    light = sum(int(style.colour[at : at + 2], 16) for at in (1, 3, 5)) > 3 * 110
    ink = "black" if light else "white"
    return {"fc": style.colour, "ec": "black", "hatch": style.hatch, "hatchcolor": ink, "lw": 0.7}


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(label=name, **_fill(name)) for name in methods]
    handles.insert(0, Line2D([], [], color="black", ls=FINETUNE_LINE, lw=1.1, label="Finetune"))
    handles.append(Line2D([], [], color="black", ls=GOAL_LINE, lw=1.1, label="Goal"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 9), columnspacing=1.6)
