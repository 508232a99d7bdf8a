"""The six metrics over the steps of unlearning, as in Figure 7 of PEBench."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.ids import parse_recipe
from mmunlearn.records import RecordError, Scores, Training, read_json
from mmunlearn.reporting.layout import METRICS, TARGETS, TITLES, UNITS, method_order
from mmunlearn.reporting.style import SMALL, look, method_handle, new_figure, save_figure, write_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

ENDS = ("Finetune", "Goal")
HOLLOW = {"mfc": "white", "zorder": 5}


@dataclass(frozen=True)
class Trace:
    """One method on one split: its scores by optimizer step, and the step it ended at, None if it went on."""

    method: str
    steps: Mapping[int, Scores]
    stop: int | None


@dataclass(frozen=True)
class Row:
    """One row of panels: a model's traces on one split, and what they run between (Scores of ENDS)."""

    model: str
    target: str
    percent: int
    traces: Sequence[Trace]
    ends: Mapping[str, Scores]


def plot_figure7(scores: Sequence[Path], trainings: Sequence[Path], png: Path, pdf: Path) -> None:
    """Plot a block of panels a model: metrics in columns; the person split above the event split.

    Steps stand at even distances. Every method starts at step 0, where it is the finetuned model unless a score of
    its own says otherwise; the goal model is a dashed line. A method whose training ended before the
    last step is marked there by a hollow marker and goes on as a thin, flat line. A missing value is a gap, and named
    below.

    Args:
        scores: Scores of recipes `<method>-<split>@<step>`, and of `finetuned` and `goal-<split>` on the same splits
            and questions; of one seed, in any order.
        trainings: training.json of the recipes in `scores` (or of the whole `<method>-<split>`); may be empty.

    Raises:
        RecordError: a file is not what its name promises, a score has no step, or there is none.
    """
    table = [read_json(path, Scores) for path in scores]
    rows = trace_rows(
        [one for one in table if one.method not in ENDS],
        [one for one in table if one.method in ENDS],
        [read_json(path, Training) for path in trainings],
    )
    models = list(dict.fromkeys(row.model for row in rows))
    figure = new_figure(7.2, 0.5 + 1.62 * len(rows) + 0.42 * len(models))
    figure.get_layout_engine().set(w_pad=0.025, wspace=0.0)
    blocks = figure.subfigures(len(models), 1, squeeze=False)[:, 0]
    for block, model in zip(blocks, models, strict=True):
        _block(block, [row for row in rows if row.model == model])
    _legend(figure, rows)
    notes = [note for row in rows for note in gaps(row, naming=len(models) > 1)]
    for note in notes:
        logger.warning("a gap in Figure 7: %s", note)
    write_notes(figure, notes, "Gaps")
    save_figure(figure, png, pdf)


def trace_rows(scores: Sequence[Scores], ends: Sequence[Scores], trainings: Sequence[Training]) -> list[Row]:
    """The rows of panels, by model (as given) and target. Raises RecordError where a score has no step."""
    if not scores:
        raise RecordError("Asked for Figure 7. Found no score of any step. Name at least one step to keep.")
    for one in scores:
        if parse_recipe(one.recipe).step is None:
            raise RecordError(
                f"Asked for metrics over steps. Found scores of {one.recipe}, which names no step. Pass scores of "
                "recipes <method>-<split>@<step>."
            )
    last = max(parse_recipe(one.recipe).step for one in scores)
    rows = []
    for model in dict.fromkeys(one.model for one in scores):
        for target in TARGETS:
            mine = [one for one in scores if (one.model, one.target) == (model, target)]
            if mine:
                stops = _stops([one for one in trainings if one.model == model], mine[0], last)
                own = [one for one in ends if (one.model, one.target) == (model, target)]
                found = {one.method: one for one in own if one.percent == mine[0].percent}
                rows.append(Row(model, target, mine[0].percent, _traces(mine, stops), found))
    return rows


def _traces(scores: Sequence[Scores], stops: Mapping[str, int]) -> list[Trace]:
    traces = []
    for method in sorted({one.method for one in scores}, key=method_order):
        mine = [one for one in scores if one.method == method]
        steps = {parse_recipe(one.recipe).step: one for one in mine}
        stop = stops.get(parse_recipe(mine[0].recipe).method)
        traces.append(Trace(method, dict(sorted(steps.items())), stop))
    return traces


def _stops(trainings: Sequence[Training], like: Scores, last: int) -> dict[str, int]:
    """Method's key -> the step at which it ended, of those that did not reach the step they were asked for."""
    split = parse_recipe(like.recipe).split
    stops: dict[str, int] = {}
    for one in trainings:
        recipe = parse_recipe(one.recipe)
        if recipe.target and recipe.split == split and recipe.concept is None and one.seed == like.seed:
            asked = last if recipe.step is None else recipe.step
            if one.steps < asked:
                stops[recipe.method] = one.steps
    return stops


def curve(row: Row, trace: Trace, metric: str) -> dict[int, float | None]:
    """Step -> value of a metric, None where it is missing; step 0 is the finetuned model's unless it has its own."""
    start = {0: row.ends["Finetune"]} if "Finetune" in row.ends else {}
    return {step: _value(one, metric) for step, one in sorted((start | dict(trace.steps)).items())}


def _value(scores: Scores | None, metric: str) -> float | None:
    cell = scores.metrics.get(metric) if scores else None
    return cell.value if cell else None


def gaps(row: Row, naming: bool = False) -> list[str]:
    """A note for each method and metric of a row that lacks values, with the reason and, if asked, the model."""
    steps = {step for trace in row.traces for step in trace.steps}
    head = f"{row.model}, {row.target}" if naming else row.target
    notes = []
    for name in ENDS:
        absent = [TITLES[metric] for metric in METRICS if _value(row.ends.get(name), metric) is None]
        if absent:
            notes.append(f"{head}, {name}: no {', '.join(absent)}")
    for trace in row.traces:
        for metric in METRICS:
            values = dict.fromkeys(sorted(steps)) | curve(row, trace, metric)
            absent = [step for step, value in values.items() if value is None]
            if absent:
                cell = trace.steps[absent[0]].metrics.get(metric) if absent[0] in trace.steps else None
                why = (cell and cell.reason) or "not scored"
                at = f"step{'s' * (len(absent) > 1)} {', '.join(map(str, absent))}"
                notes.append(f"{head}, {trace.method}: no {TITLES[metric]} at {at} ({why})")
    return notes


def place(step: float, steps: Sequence[int]) -> float:
    """Where a step stands among evenly spaced ones: between two of them in proportion, never beyond the ends."""
    if step <= steps[0]:
        return 0.0
    if step >= steps[-1]:
        return float(len(steps) - 1)
    right = bisect_left(steps, step)
    left = right - 1
    return left + (step - steps[left]) / (steps[right] - steps[left])


def _block(block: Any, rows: Sequence[Row]) -> None:
    """One model's panels, below its name."""
    block.suptitle(
        f"{rows[0].model}, {rows[0].percent}% of the concepts forgotten", x=0.012, ha="left", fontsize=9.5
    )
    steps = sorted({0, *(step for row in rows for trace in row.traces for step in trace.steps)})
    grid = block.subplots(len(rows), len(METRICS), squeeze=False, sharex=True, sharey=True)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(f"{row.target.title()} unlearning")
        for axes, metric in zip(line, METRICS, strict=True):
            _panel(axes, row, metric, steps)
            axes.set_title(UNITS[row.target][metric], fontsize=SMALL, color="#555555", pad=3)
    for axes, metric in zip(grid[0], METRICS, strict=True):
        axes.annotate(
            TITLES[metric],
            (0.5, 1),
            (0, 15),
            "axes fraction",
            "offset points",
            ha="center",
            fontweight="bold",
        )
    block.supxlabel("Optimizer steps", fontsize=8.5)


def _panel(axes: Axes, row: Row, metric: str, steps: Sequence[int]) -> None:
    goal, start = (_value(row.ends.get(name), metric) for name in reversed(ENDS))
    if goal is not None:
        axes.axhline(goal, color="black", ls=(0, (4, 2)), lw=1, zorder=1.5, label="Goal")
    for trace in row.traces:
        _line(axes, trace, curve(row, trace, metric), steps)
    if start is not None:
        style = look("Finetune")
        drawn = {"marker": style.marker, "mfc": style.colour, "mec": "black", "mew": 0.8, "ms": 6}
        axes.plot(0, start, zorder=6, label="Finetune", **drawn)
    axes.set(xlim=(-0.45, len(steps) - 0.55), ylim=(-5, 105), yticks=range(0, 101, 25))
    axes.set_xticks(range(len(steps)), _tick_labels(steps))
    axes.tick_params(labelsize=SMALL, length=2, pad=2)


def _tick_labels(steps: Sequence[int]) -> list[str]:
    """Every step, or every other one (the last among them) where they would touch."""
    room = sum(len(str(step)) for step in steps) + 0.6 * len(steps)
    every = 1 if room <= 14 else math.ceil(room / 14)
    return [str(step) if (len(steps) - 1 - at) % every == 0 else "" for at, step in enumerate(steps)]


def _line(axes: Axes, trace: Trace, values: Mapping[int, float | None], steps: Sequence[int]) -> None:
    """The line of a method with a marker a score; from its stop on thin and without markers."""
    from matplotlib.patheffects import Normal, withStroke

    style = look(trace.method)
    stop = trace.stop if trace.stop is not None else steps[-1] + 1
    numbers = {step: math.nan if value is None else value for step, value in values.items()}
    for step in steps:
        numbers.setdefault(step, math.nan)
    moving = {step: numbers[step] for step in steps if step < stop}
    after = {step: numbers[step] for step in steps if step >= stop}
    if after:
        halt = next(iter(after.values()))
        moving[stop] = halt
        after = {stop: halt} | after
    cased = [withStroke(linewidth=2.1, foreground="#333333"), Normal()]
    marks = {"marker": style.marker, "mfc": style.colour, "mec": "black", "mew": 0.6, "ms": 4.6}
    at = [place(step, steps) for step in moving]
    common = {"color": style.colour, "solid_capstyle": "round"}
    axes.plot(at, list(moving.values()), lw=1.5, path_effects=cased, zorder=3, **common)
    axes.plot(at, list(moving.values()), ls="", zorder=4, label=trace.method, **marks)
    if after:
        at = [place(step, steps) for step in after]
        cased = [withStroke(linewidth=1.3, foreground="#333333"), Normal()]
        axes.plot(at, list(after.values()), lw=0.9, path_effects=cased, zorder=2, **common)
        axes.plot(at[:1], [after[stop]], ls="", label=f"{trace.method} ended", **marks | HOLLOW | {"mew": 1})


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    methods = sorted({trace.method for row in rows for trace in row.traces}, key=method_order)
    handles = [method_handle("Finetune", 6)]
    for method in methods:
        handles.append(method_handle(method, 5, ls="-", lw=1.6, color=look(method).colour, mew=0.6))
    handles.append(Line2D([], [], color="black", ls=(0, (4, 2)), lw=1, label="Goal"))
    if any(trace.stop is not None for row in rows for trace in row.traces):
        handles.append(method_handle("", 5, marker="o", mfc="white", mew=1, label="ended (hollow)"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.2, handletextpad=0.5
    )
