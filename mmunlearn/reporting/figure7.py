"""The six metrics over the steps of unlearning, as in Figure 7 of PEBench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmunlearn.evaluation.score_inputs import read_scores
from mmunlearn.ids import TARGETS, parse_recipe
from mmunlearn.records import RecordError, Scores, Training, read_json
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import BOUNDS, METRICS, TITLES, UNITS, in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trace:
    """One method on one split: its scores by optimizer step, and the step it ended at, None if it went on."""

    method: str
    steps: Mapping[int, Scores]
    stop: int | None


@dataclass(frozen=True)
class PanelRow:
    """One row of panels: a model's traces on one split, and what they run between (Scores of Finetune and Goal)."""

    model: str
    target: str
    percent: int
    traces: Sequence[Trace]
    bounds: Mapping[str, Scores]


def plot_figure7(scores: Sequence[Path], trainings: Sequence[Path], png: Path, pdf: Path) -> None:
    """Plot a block of panels a model: metrics in columns; the person split above the event split.

    Steps stand at even distances. Every method starts at step 0, where it is the finetuned model unless a score of
    its own says otherwise; the goal model is a dashed line. A method whose training ended before the
    last step is marked there by a hollow marker and goes on as a thin, flat line. A missing value is a gap, and named
    below.

    Args:
        scores: Scores of recipes `<method>-<split>@<step>`, and of `finetuned` and `goal-<split>` on the same splits
            and questions; of one seed, in any order.
        trainings: training.json of the recipes `<method>-<split>`; others are passed over.

    Raises:
        RecordError: a file is not what its name promises, a score has no step, or there is none.
    """
    rows = trace_rows(
        [read_scores(path) for path in scores], [read_json(path, Training) for path in trainings]
    )
    by_model = {model: list(block) for model, block in groupby(rows, key=lambda row: row.model)}
    figure = style.new_figure(7.2, 0.5 + 1.62 * len(rows) + 0.42 * len(by_model))
    figure.get_layout_engine().set(w_pad=0.025, wspace=0.0)
    parts = figure.subfigures(len(by_model), 1, squeeze=False)[:, 0]
    for part, block in zip(parts, by_model.values(), strict=True):
        _draw_block(part, block)
    _legend(figure, [trace for row in rows for trace in row.traces])
    style.write_notes(figure, [note for row in rows for note in gaps(row, naming=len(by_model) > 1)], "Gaps")
    style.save_figure(figure, png, pdf)


def trace_rows(scores: Sequence[Scores], trainings: Sequence[Training]) -> list[PanelRow]:
    """The rows of panels, by model (as given) and target. Raises RecordError where a score has no step."""
    bounds = [one for one in scores if one.method in BOUNDS]
    scores = [one for one in scores if one.method not in BOUNDS]
    if not scores:
        raise RecordError("Asked for Figure 7. Found no score of any step. Name at least one step to keep.")
    for one in scores:
        if _step(one) is None:
            raise RecordError(
                f"Asked for metrics over steps. Found scores of {one.recipe}, which names no step. Pass scores of "
                "recipes <method>-<split>@<step>."
            )
    last = max(map(_step, scores))
    ended = {(one.model, one.recipe, one.seed): one.steps for one in trainings if one.steps < last}
    rows = []
    for model in dict.fromkeys(one.model for one in scores):
        for target in TARGETS:
            of_row = [one for one in scores if (one.model, one.target) == (model, target)]
            if of_row:
                split = (model, target, of_row[0].percent)
                ends = {one.method: one for one in bounds if (one.model, one.target, one.percent) == split}
                rows.append(PanelRow(*split, _traces(of_row, ended), ends))
    return rows


def _step(one: Scores) -> int | None:
    return parse_recipe(one.recipe).step


def _traces(scores: Sequence[Scores], ended: Mapping[tuple[str, str, int], int]) -> list[Trace]:
    traces = []
    for method in in_order(one.method for one in scores):
        steps = {_step(one): one for one in scores if one.method == method}
        first = next(iter(steps.values()))
        stop = ended.get((first.model, parse_recipe(first.recipe).whole.name, first.seed))
        traces.append(Trace(method, dict(sorted(steps.items())), stop))
    return traces


def curve(row: PanelRow, trace: Trace, metric: str) -> dict[int, float | None]:
    """Step -> value of a metric, None where it is missing; step 0 is the finetuned model's unless it has its own."""
    start = {0: row.bounds["Finetune"]} if "Finetune" in row.bounds else {}
    return {step: _value(one, metric) for step, one in sorted((start | dict(trace.steps)).items())}


def _value(scores: Scores | None, metric: str) -> float | None:
    cell = scores.metrics.get(metric) if scores else None
    return cell.value if cell else None


def gaps(row: PanelRow, naming: bool = False) -> list[str]:
    """A note for each method and metric of a row that lacks values, with the reason and, if `naming`, the model."""
    steps = sorted({step for trace in row.traces for step in trace.steps})
    head = f"{row.model}, {row.target}" if naming else row.target
    notes = []
    for name in BOUNDS:
        absent = [TITLES[metric] for metric in METRICS if _value(row.bounds.get(name), metric) is None]
        if absent:
            notes.append(f"{head}, {name}: no {', '.join(absent)}")
    for trace in row.traces:
        for metric in METRICS:
            values = dict.fromkeys(steps) | curve(row, trace, metric)
            absent = [step for step, value in values.items() if value is None]
            if absent:
                cell = trace.steps[absent[0]].metrics.get(metric) if absent[0] in trace.steps else None
                why = (cell and cell.reason) or "not scored"
                at = f"step{'s' * (len(absent) > 1)} {', '.join(map(str, absent))}"
                notes.append(f"{head}, {trace.method}: no {TITLES[metric]} at {at} ({why})")
    return notes


def _draw_block(part: Any, rows: Sequence[PanelRow]) -> None:
    """One model's panels, below its name."""
    part.suptitle(style.block_title(rows[0].model, rows[0].percent), x=0.012, ha="left", fontsize=9.5)
    steps = sorted({0, *(step for row in rows for trace in row.traces for step in trace.steps)})
    grid = part.subplots(len(rows), len(METRICS), squeeze=False, sharex=True, sharey=True)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(f"{row.target.title()} unlearning")
        for axes, metric in zip(line, METRICS, strict=True):
            _draw_panel(axes, row, metric, steps)
            axes.set_title(UNITS[row.target][metric], fontsize=style.SMALL, color="#555555", pad=3)
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "fontweight": "bold"}
    for axes, metric in zip(grid[0], METRICS, strict=True):
        axes.annotate(TITLES[metric], (0.5, 1), (0, 15), **above)
    part.supxlabel("Optimizer steps", fontsize=8.5)


def _draw_panel(axes: Axes, row: PanelRow, metric: str, steps: Sequence[int]) -> None:
    start, goal = (_value(row.bounds.get(name), metric) for name in BOUNDS)
    if goal is not None:
        axes.axhline(goal, color="black", ls=style.GOAL_LINE, lw=1, zorder=1.5, label="Goal")
    for trace in row.traces:
        _draw_line(axes, trace, curve(row, trace, metric), steps)
    if start is not None:
        axes.plot(0, start, zorder=6, label="Finetune", **style.marks("Finetune", 6, 0.8))
    axes.set(xlim=(-0.45, len(steps) - 0.55), ylim=(-5, 105), yticks=range(0, 101, 25))
    axes.set_xticks(range(len(steps)), _tick_labels(steps))
    axes.tick_params(labelsize=style.SMALL, length=2, pad=2)


def _tick_labels(steps: Sequence[int]) -> list[str]:
    """Every step, or every other one (the last among them) where they would touch."""
    room = sum(len(str(step)) for step in steps) + 0.6 * len(steps)
    every = 1 if room <= 14 else math.ceil(room / 14)
    return [str(step) if (len(steps) - 1 - at) % every == 0 else "" for at, step in enumerate(steps)]


def _draw_line(axes: Axes, trace: Trace, curve: Mapping[int, float | None], steps: Sequence[int]) -> None:
    """The line of a method with a marker a score; from its stop on thin and without markers."""
    values = {step: math.nan if curve.get(step) is None else curve[step] for step in steps}
    stop = trace.stop if trace.stop is not None else steps[-1] + 1
    moving = {step: value for step, value in values.items() if step < stop}
    after = {step: value for step, value in values.items() if step >= stop}
    if after:
        moving[stop] = next(iter(after.values()))
        after = {stop: moving[stop]} | after
    at = np.interp(list(moving), steps, range(len(steps)))  # between two steps in proportion
    line = {"color": style.look(trace.method).colour, "solid_capstyle": "round"}
    marker = style.marks(trace.method, 4.6)
    axes.plot(at, list(moving.values()), lw=1.5, path_effects=style.casing(2.1), zorder=3, **line)
    axes.plot(at, list(moving.values()), ls="", zorder=4, label=trace.method, **marker)
    if after:
        at = np.interp(list(after), steps, range(len(steps)))
        hollow = marker | {"mfc": "white", "zorder": 5, "mew": 1}
        axes.plot(at, list(after.values()), lw=0.9, path_effects=style.casing(1.3), zorder=2, **line)
        axes.plot(at[:1], [after[stop]], ls="", label=f"{trace.method} ended", **hollow)


def _legend(figure: Figure, traces: Sequence[Trace]) -> None:
    handles = [style.method_handle("Finetune", 6)]
    for method in in_order(trace.method for trace in traces):
        handles.append(
            style.method_handle(method, 5, ls="-", lw=1.6, color=style.look(method).colour, mew=0.6)
        )
    handles.append(style.line_handle("Goal", style.GOAL_LINE, 1))
    if any(trace.stop is not None for trace in traces):
        handles.append(style.method_handle("", 5, marker="o", mfc="white", mew=1, label="ended (hollow)"))
    style.write_legend(figure, handles, len(handles), columnspacing=1.2, handletextpad=0.5)
