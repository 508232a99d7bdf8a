"""A plan as one value: what `mmunlearn plan` prints, as text or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmunlearn.workflow.job import PlannedJob
from mmunlearn.workflow.planning.actual import Measured, made, measured
from mmunlearn.workflow.planning.estimate import (
    Assumption,
    RuleRow,
    Total,
    assumptions,
    by_rule,
    estimate_jobs,
    totals,
)
from mmunlearn.workflow.planning.judged import judged


@dataclass(frozen=True)
class Plan:
    """Estimates of all jobs of some targets, and what those that have run took.

    Attributes:
        measured: by rule.
        done: by name of a summary line: what the jobs so far have made or taken, and what was expected of these same
            jobs. The ratio of the two is what to correct the assumptions by.
        notes: on `done`, or why it lacks something.
    """

    scale: str
    targets: tuple[str, ...]
    rules: list[RuleRow]
    totals: list[Total]
    assumptions: dict[str, Assumption]
    measured: dict[str, Measured]
    done: dict[str, tuple[float, float]]
    notes: list[str]

    @property
    def jobs(self) -> int:
        return sum(row.jobs for row in self.rules)

    @property
    def to_run(self) -> int:
        return sum(row.to_run for row in self.rules)

    def as_json(self) -> dict[str, Any]:
        """The plan of plain values; hours are GPU-hours where a rule's `gpus` is not 0, CPU-hours elsewhere."""
        rules = []
        for row in self.rules:
            own = {**vars(row), "counts": dict(row.counts)} | {"hours": row.hours if row.estimated else None}
            rules.append(
                own | {"measured": asdict(self.measured[row.rule]) if row.rule in self.measured else None}
            )
        lines = [asdict(line) | {"done": _pair(self.done.get(line.name))} for line in self.totals]
        used = {name: asdict(self.assumptions[name]) for name in used_assumptions(self)}
        head = {"scale": self.scale, "targets": self.targets, "jobs": self.jobs, "to_run": self.to_run}
        return head | {"rules": rules, "totals": lines, "assumptions": used, "notes": self.notes}


def _pair(done: tuple[float, float] | None) -> dict[str, float] | None:
    return None if done is None else {"actual": done[0], "estimate": done[1]}


def make_plan(config: Mapping[str, Any], jobs: Sequence[PlannedJob], targets: Sequence[str] = ()) -> Plan:
    """Estimate all jobs and read what the run so far has left.

    Args:
        config: merged and checked.
        targets: as asked for; none for the default one.
    """
    estimates = estimate_jobs(config, jobs)
    rules, taken, done = by_rule(jobs, estimates), measured(estimates), made(estimates)
    used, notes = judged(config, estimates)
    done |= used
    for name, gpu in (("GPU-hours", True), ("CPU-hours", False)):
        own = [
            taken[row.rule] for row in rules if (row.gpus > 0) is gpu and row.rule in taken and row.estimated
        ]
        if own:
            done[name] = (sum(one.hours for one in own), sum(one.expected for one in own))
    names = tuple(targets) or ("default",)
    lines = totals(config, estimates)
    return Plan(config["scale"], names, rules, lines, assumptions(config), taken, done, notes)


def used_assumptions(plan: Plan) -> list[str]:
    """The assumptions that any line of a plan rests on, in the order of the table."""
    wanted = {name for line in (*plan.rules, *plan.totals) for name in line.rests}
    return [name for name in plan.assumptions if name in wanted]
