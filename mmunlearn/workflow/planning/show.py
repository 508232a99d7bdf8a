"""A plan as a text of at most 118 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from mmunlearn.workflow.planning.estimate import RuleRow, Total
from mmunlearn.workflow.planning.plan import Plan, used_assumptions

WIDTH = 118


def show_plan(plan: Plan) -> str:
    """Summary, jobs by rule and the assumptions; with the actual values beside, where any job has run."""
    done = bool(plan.done or plan.measured)
    head = f"Scale {plan.scale}, target {' '.join(plan.targets)}: {plan.jobs:,} jobs, {plan.to_run:,} to run."
    parts = [head, "", *_summary(plan, done), "", *_rules(plan, done), "", *_assumptions(plan)]
    if done:
        parts += ["", *_fill(_about_actual(plan))]
    for note in plan.notes:
        parts += ["", *_fill(note)]
    return "\n".join(parts) + "\n"


def _summary(plan: Plan, done: bool) -> list[str]:
    rows = [["", "estimate", *(["so far", "estimated", "ratio"] if done else []), "rests on"]]
    for line in plan.totals:
        own = _actual(plan.done.get(line.name)) if done else []
        rows.append([line.name, f"{amount(line.value)} {line.unit}".rstrip(), *own, _because(plan, line)])
    return _table(rows, left={0, len(rows[0]) - 1})


def _because(plan: Plan, line: Total) -> str:
    named = [f"{name} = {_value(plan.assumptions[name].value)}" for name in line.rests]
    return "; ".join(filter(None, [", ".join(named) if line.value else "", line.note]))


def _rules(plan: Plan, done: bool) -> list[str]:
    middle = ["so far", "estimated", "ratio"] if done else []
    rows = [["rule", "jobs", "to run", "time", *middle, "work, and what the estimate rests on"]]
    for row in plan.rules:
        own = []
        if done:
            found = plan.measured.get(row.rule)
            own = _actual((found.hours, found.expected) if found else None, duration)
        rows.append([row.rule, str(row.jobs), str(row.to_run), _time(row), *own, _work(row)])
    return _table(rows, left={0, len(rows[0]) - 1})


def _work(row: RuleRow) -> str:
    if row.target:
        return "collects files, runs nothing"
    counts = ", ".join(f"{amount(count)} {unit}" for unit, count in row.counts.items())
    rests = f"no estimate: {row.reason}" if row.reason else ", ".join(row.rests)
    return "; ".join(filter(None, [counts, rests]))


def _time(row: RuleRow) -> str:
    if row.target or not row.estimated:
        return "-"
    return f"{'GPU' if row.gpus else 'CPU'} {duration(row.hours)}"


def duration(hours: float) -> str:
    """Hours for people: `2.5 s`, `4.7 min`, `84.7 h`."""
    for factor, unit in ((1, "h"), (60, "min")):
        if hours * factor >= 1:
            return f"{amount(hours * factor)} {unit}"
    return f"{hours * 3600:.1f} s"


def _actual(pair: tuple[float, float] | None, write: Callable[[float], str] | None = None) -> list[str]:
    """Actual, estimate of the same jobs, and the ratio of the two."""
    write = write or amount
    if pair is None:
        return ["-", "-", "-"]
    actual, expected = pair
    return [write(actual), write(expected), f"{actual / expected:.2f}" if expected else "-"]


def _assumptions(plan: Plan) -> list[str]:
    rows = [["assumption", "value", "unit", "source"]]
    for name in used_assumptions(plan):
        one = plan.assumptions[name]
        values = one.value if isinstance(one.value, Mapping) else {"": one.value}
        for model, value in values.items():
            rows.append([name, f"{value:g}", f"{one.unit}, {model}" if model else one.unit, one.source])
    own = "Correct an assumption by its name below `plan` in the configuration: plan: {NAME: {value: ...}}"
    dotted = (
        "; a name with dots is a key itself" if any("." in name for name in used_assumptions(plan)) else ""
    )
    return [*_fill(own + dotted + "."), "", *_table(rows, left={0, 2, 3})]


def _about_actual(plan: Plan) -> str:
    jobs, stale = (sum(getattr(row, key) for row in plan.measured.values()) for key in ("jobs", "stale"))
    peak = max((row.memory or 0 for row in plan.measured.values()), default=0)
    text = (
        f"So far: what {jobs:,} planned jobs took by their files below benchmarks/, and what files of planned jobs "
        "hold; `estimated` is of these same jobs, ratio is actual over estimate."
    )
    text += f" The largest job held {peak / 1024:.1f} GiB." if peak >= 103 else ""  # 0.1 GiB
    return text + (
        f" {stale:,} of the jobs are to run again: their times are those of before." if stale else ""
    )


def _value(value: float | Mapping[str, float]) -> str:
    return " or ".join(f"{one:g}" for one in (value.values() if isinstance(value, Mapping) else [value]))


def amount(value: float) -> str:
    """A number for people: `41,290`, `73.2`, `0.013`, `0`."""
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _table(rows: Sequence[Sequence[str]], left: Iterable[int]) -> list[str]:
    """Columns two spaces apart, within WIDTH: the last one wraps."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(24, WIDTH - indent)
    lines = []
    for row in rows:
        first, *rest = textwrap.wrap(row[-1], room, break_long_words=False) or [""]
        aligned = [
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join([*aligned[:-1], first]).rstrip())
        lines += [" " * indent + line for line in rest]
    return lines


def _fill(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
