"""What the jobs of a plan have cost so far: Snakemake's benchmark files, and counts from what the jobs have made.

Only files of planned jobs are read, so that what other recipes left behind does not count. Nothing heavy here.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmunlearn.workflow.planning.estimate import Estimate, hours


@dataclass
class Measured:
    """The jobs of a rule that have been measured, and what was expected of the same jobs.

    Attributes:
        stale: of them, how many are to run again: their times are those of the run before.
        hours, expected: measured and estimated, GPU- or CPU-hours; `expected` without jobs that have no estimate.
        memory: the largest resident memory of a job, megabytes; None where it was too short to be taken.
    """

    jobs: int = 0
    stale: int = 0
    hours: float = 0.0
    expected: float = 0.0
    memory: float | None = None


def measured(estimates: Sequence[Estimate]) -> dict[str, Measured]:
    """Rule -> its measured jobs; rules without any are left out."""
    rows: dict[str, Measured] = {}
    for one in estimates:
        found = read_benchmark(one.job.benchmark)
        if found is None:
            continue
        seconds, memory = found
        row = rows.setdefault(one.job.rule, Measured())
        row.jobs += 1
        row.stale += one.job.to_run
        row.hours += hours(one.job, seconds)
        row.expected += hours(one.job, one.seconds or 0.0)
        row.memory = max(filter(None, (row.memory, memory)), default=None)
    return rows


def read_benchmark(path: Path | None) -> tuple[float, float | None] | None:
    """Wall seconds and resident megabytes of a benchmark file (tab separated; columns `s`, `max_rss`); the mean of
    its rows where a job was repeated; None where there is no file, or none that says the seconds."""
    try:
        with open(path or "", encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except OSError:
        return None
    seconds = [found for row in rows if (found := _number(row.get("s"))) is not None]
    memory = [found for row in rows if (found := _number(row.get("max_rss"))) is not None]
    return (sum(seconds) / len(seconds), max(memory, default=None)) if seconds else None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # `-` or `NA`: not taken
        return None


def made(estimates: Sequence[Estimate]) -> dict[str, tuple[float, float]]:
    """Name of a summary line -> (what was made, what was expected of the same jobs), where files tell."""
    done: Counter = Counter()
    expected: Counter = Counter()
    for one in estimates:
        for name, count in _made_by(one).items():
            done[name] += count
            expected[name] += one.work.counts.get(name, 0.0)
    drawn = [one for one in estimates if one.job.rule == "check_images"]
    if drawn and (count := _read(drawn[0].job.outputs[0]).get("candidates")) is not None:
        done["pictures drawn"] = count
        expected["pictures drawn"] = sum(
            one.work.counts.get(name, 0.0)
            for one in estimates
            for name in ("pictures drawn", "pictures redrawn")
        )
    return {name: (done[name], expected[name]) for name in done}


ANSWERS = ("answer_questions", "answer_steps", "answer_concepts")


def _made_by(one: Estimate) -> dict[str, float]:
    outputs = [path for path in one.job.outputs if path.is_file()]
    if one.job.rule in ANSWERS and len(outputs) == len(one.job.outputs):
        return {"questions": sum(map(_lines, outputs))}
    if one.job.rule == "judge_answers" and outputs:
        return {"judge cases": sum(map(_lines, outputs))}
    records = [path for path in outputs if path.name == "training.json"]
    if records and (steps := _read(records[0]).get("steps")) is not None:
        return {"optimizer steps": steps}
    return {}


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or half written by another program: no count
        return {}


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(1 for line in handle if line.strip())
