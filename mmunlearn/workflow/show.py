"""A plan as a text of at most 118 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mmunlearn.workflow.numbers import amount, duration
from mmunlearn.workflow.plan import Actual, Plan, RuleRow, Total

WIDTH = 118


def show_plan(plan: Plan) -> str:
    """Summary, jobs by rule and the assumptions; with the actual values beside, where any job has run."""
    actual = any(row.actual for row in (*plan.rules, *plan.totals))
    beside = ["so far", "estimated", "ratio"]
    summary = [["", "estimate", *beside, "rests on"], *(_total(plan, line) for line in plan.totals)]
    rules = [["rule", "jobs", "to run", "time", *beside, "work, and what the estimate rests on"]]
    rules += map(_rule, plan.rules)
    if not actual:
        summary, rules = ([[*row[:-4], row[-1]] for row in rows] for rows in (summary, rules))
    advice = "Correct an assumption by its name below `plan` in the configuration: plan: {NAME: {value: ...}}"
    dotted = "; a name with dots is a key itself" if any("." in name for name in plan.assumptions) else ""
    parts = [
        [
            f"Scale {plan.scale}, target {' '.join(plan.targets)}: {plan.jobs:,} jobs, {plan.to_run:,} to run, "
            f"{plan.submitted:,} of them submitted on a cluster."
        ],
        _table(summary, {0, len(summary[0]) - 1}),
        _table(rules, {0, len(rules[0]) - 1}),
        textwrap.wrap(f"{advice}{dotted}.", WIDTH),
        _table([["assumption", "value", "unit", "source"], *_assumptions(plan)], {0, 2, 3}),
        *(textwrap.wrap(note, WIDTH) for note in [*([_about(plan)] if actual else []), *plan.notes]),
    ]
    return "\n\n".join(map("\n".join, parts)) + "\n"


def count(name: str, value: float) -> str:
    """So many of `name`: whole from 10 on where they can be counted."""
    whole = value >= 10 and "GB" not in name and not name.endswith(("cost", "-hours"))
    return amount(round(value) if whole else value)


def _total(plan: Plan, line: Total) -> list[str]:
    values = [f"{name} = {_value(plan.assumptions[name]['value'])}" for name in line.rests]
    because = "; ".join(filter(None, [", ".join(values) if line.value else "", line.note]))
    write = partial(count, f"{line.name} {line.unit}".rstrip())
    return [line.name, f"{write(line.value)} {line.unit}".rstrip(), *_beside(line.actual, write), because]


def _rule(row: RuleRow) -> list[str]:
    time = "-" if row.hours is None else f"{'GPU' if row.gpus else 'CPU'} {duration(row.hours)}"
    work = ", ".join(f"{count(unit, number)} {unit}" for unit, number in row.counts.items())
    rests = f"no estimate: {row.reason}" if row.reason else ", ".join(row.rests)
    work = "collects files, runs nothing" if row.target else "; ".join(filter(None, [work, rests]))
    return [row.rule, str(row.jobs), str(row.to_run), time, *_beside(row.actual, duration), work]


def _beside(actual: Actual | None, write: Callable[[float], str]) -> list[str]:
    """Actual, estimate of the same jobs, and the ratio of the two."""
    if actual is None:
        return ["-", "-", "-"]
    ratio = f"{actual.value / actual.estimate:.2f}" if actual.estimate else "-"
    return [write(actual.value), write(actual.estimate), ratio]


def _assumptions(plan: Plan) -> Iterator[list[str]]:
    for name, row in plan.assumptions.items():
        values = row["value"] if isinstance(row["value"], Mapping) else {"": row["value"]}
        for model, value in values.items():
            yield [name, f"{value:g}", f"{row['unit']}, {model}" if model else row["unit"], row["source"]]


def _about(plan: Plan) -> str:
    actual = [row.actual for row in plan.rules if row.actual]
    jobs, stale = sum(one.jobs for one in actual), sum(one.stale for one in actual)
    peak = max((one.memory for one in actual), default=0) / 1024
    text = (
        f"So far: what {jobs:,} planned jobs took by their files below benchmarks/, and what files of planned jobs "
        "hold; `estimated` is of these same jobs, ratio is actual over estimate."
    )
    text += f" The largest job held {peak:.1f} GiB." if peak >= 0.1 else ""
    return text + (
        f" {stale:,} of the jobs are to run again: their times are those of before." if stale else ""
    )


def _value(value: Any) -> str:
    return " or ".join(f"{one:g}" for one in (value.values() if isinstance(value, Mapping) else [value]))


def _table(rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    """Columns two spaces apart, within WIDTH: the last one wraps; those of some numbers begin on the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        first, *rest = textwrap.wrap(row[-1], max(24, WIDTH - indent), break_long_words=False) or [""]
        lines.append("  ".join([*cells[:-1], first]).rstrip())
        lines += [" " * indent + line for line in rest]
    return lines
