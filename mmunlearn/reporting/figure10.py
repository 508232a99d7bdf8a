"""World Fact by what is unlearned: people, events, both at once, as in Figure 10 of PEBench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.ids import TARGETS
from mmunlearn.records import RecordError
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import BOUNDS, Row, Table, in_order, read_table, select, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC = "world_fact"
GROUPS = {"person": "Person", "event": "Event", "both": "Person and event"}
BAR, BETWEEN = 0.8, 0.9  # width of a bar and space between groups; a slot is 1
FINETUNE_LINE = (0, (1, 1.4))


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
    alone, both = (select(read_table(path), forget_percent=str(percent)) for path in (table3, table4))
    if not both:
        raise RecordError(
            f"Asked for Figure 10 at {percent}%. Found no such row in {table4}. Add {percent} to "
            "dataset.both_percents, or change figures.percent."
        )
    models = values(both, "model")
    figure = style.new_figure(7.2, 0.55 + 2.45 * len(models))
    panels = figure.subplots(len(models), 1, squeeze=False, sharex=True)[:, 0]
    notes, methods = [], set()
    for axes, model in zip(panels, models, strict=True):
        bars = facts(alone, both, model)
        _draw_panel(axes, bars)
        axes.set_title(style.block_title(model, percent), loc="left")
        head = f"{model}, " if len(models) > 1 else ""
        notes += [f"{head}{one.method}, {GROUPS[one.group].lower()}" for one in bars if one.value is None]
        methods |= {one.method for one in bars} - set(BOUNDS)
    panels[-1].set_xlabel("Unlearning target")
    _legend(figure, in_order(methods))
    style.write_notes(figure, notes, "No value")
    style.save_figure(figure, png, pdf)


def facts(alone: Table, both: Table, model: str) -> list[Fact]:
    """What a model's panel shows, by group and in the paper's order of methods."""
    of_group = {target: select(alone, model=model, target=target) for target in TARGETS}
    of_group["both"] = select(both, model=model)
    methods = in_order(values(of_group["both"], "method"))
    return [
        _fact(method, group, rows)
        for group in GROUPS
        for method in methods
        if (rows := select(of_group[group], method=method))
    ]


def _fact(method: str, group: str, rows: Sequence[Row]) -> Fact:
    """The first row's value that is there."""
    row = next((row for row in rows if row[METRIC]), None)
    if row is None:
        return Fact(method, group, None)
    low, high = (float(cell) if (cell := row[f"{METRIC}_{end}"]) else None for end in ("low", "high"))
    return Fact(method, group, float(row[METRIC]), low, high)


def _draw_panel(axes: Axes, bars: Sequence[Fact]) -> None:
    place, centres = 0.0, {}
    for group, name in GROUPS.items():
        of_group = {one.method: one for one in bars if one.group == group}
        methods = [method for method in of_group if method not in BOUNDS]
        if not methods:
            continue
        first = place
        for method in methods:
            _draw_bar(axes, place, of_group[method])
            place += 1
        goal = of_group.get("Goal")
        if goal and goal.value is not None:
            line = {"linestyles": style.GOAL_LINE, "lw": 1.1, "zorder": 4, "label": "Goal"}
            axes.hlines(goal.value, first - 0.65, place - 0.35, "black", **line)
        centres[name] = (first + place - 1) / 2
        place += BETWEEN
    start = next((one for one in bars if one.method == "Finetune" and one.value is not None), None)
    if start:
        axes.axhline(start.value, color="black", ls=FINETUNE_LINE, lw=1.1, zorder=4, label="Finetune")
    axes.set_xticks(list(centres.values()), list(centres))
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(-0.9, place - BETWEEN - 0.1), ylim=(0, 100), yticks=range(0, 101, 20))
    axes.set_ylabel("World Fact (POPE)")


def _draw_bar(axes: Axes, place: float, one: Fact) -> None:
    """A bar with its number at its foot, where no line crosses it, and its interval."""
    if one.value is None:
        axes.text(place, 3, "no value", ha="center", fontsize=style.SMALL, rotation=90, color="#444444")
        return
    axes.bar(place, one.value, BAR, label=one.method, zorder=2, **_fill(one.method))
    if one.low is not None and one.high is not None:
        at, ends = [place, place], [one.low, one.high]
        for width, colour in ((3, "white"), (1.1, "black")):  # stands out from dark bars too
            axes.plot(at, ends, color=colour, lw=width, zorder=5, solid_capstyle="butt")
            axes.plot(at, ends, ls="", marker="_", ms=6, mew=width, color=colour, zorder=5)
    plate = {"boxstyle": "round,pad=0.22", "fc": "white", "ec": "none"}
    axes.text(place, 5, f"{one.value:.1f}", ha="center", fontsize=style.SMALL, bbox=plate, zorder=6)


def _fill(method: str) -> dict[str, Any]:
    """A bar's look: the method's colour, and hatching that stands out from it."""
    look = style.look(method)
    light = sum(int(look.colour[at : at + 2], 16) for at in (1, 3, 5)) > 3 * 110
    ink = "black" if light else "white"
    return {"fc": look.colour, "ec": "black", "hatch": look.hatch, "hatchcolor": ink, "lw": 0.7}


def _legend(figure: Any, methods: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(label=name, **_fill(name)) for name in methods]
    lines = [
        style.line_handle("Finetune", FINETUNE_LINE, 1.1),
        style.line_handle("Goal", style.GOAL_LINE, 1.1),
    ]
    style.write_legend(figure, [lines[0], *patches, lines[1]], 9, columnspacing=1.6)
