"""What a run will cost, before it runs, and beside it what it has cost: the values that `mmunlearn plan` prints."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.judge.ledger import Spending
from mmunlearn.evaluation.judge.store import StoreError, Usage
from mmunlearn.evaluation.judge.usage import usage_of
from mmunlearn.workflow.benchmark import read_benchmark
from mmunlearn.workflow.sizes import PRICES, Config, Sizes
from mmunlearn.workflow.storage import bytes_of
from mmunlearn.workflow.targets import SHARED
from mmunlearn.workflow.work import DRAWING, LENGTHS, TOKENS, Estimate, PlannedJob

SUMMARY = {
    "pictures drawn": ("acceptance", "pair_refusals"),
    "pictures opened": (),
    "optimizer steps": ("steps_share",),
    "questions": (),
    "answer tokens": (*LENGTHS.values(), "task_tokens"),
    "judge cases": (),
    "judge calls": ("judge_calls",),
    "judge tokens": (*TOKENS["judge"], "rating_prompt_tokens"),
    "judge cost": PRICES["judge"],
    "text calls": ("text_calls",),
    "text tokens": TOKENS["text"],
    "text cost": PRICES["text"],
}
"""The lines of the summary below the hours, and the assumptions that each may rest on."""


def plan_jobs(arguments: list[str]) -> tuple[dict[str, Any], list[PlannedJob]] | None:
    """Ask Snakemake for the merged configuration and all jobs of its targets, those that are done included.

    Nothing runs, nothing is written but Snakemake's own folder and checksums of large files, and no torch is imported.

    Args:
        arguments: Snakemake's own, e.g. `["--configfile", "presets/paper.yaml", "--", "table4"]`.

    Returns:
        None where Snakemake has printed an error: a wrong configuration, or an input that nothing makes.
    """
    from snakemake import api, cli
    from snakemake.settings import types

    messages = StringIO()  # which profile it uses
    try:
        with redirect_stderr(messages):
            _, args = cli.parse_args(arguments)
    except SystemExit:  # its parser has refused an option, or a profile's
        print("snakemake:", messages.getvalue().strip().splitlines()[-1], file=sys.stderr)
        return None
    quiet = types.OutputSettings(log_level_override=logging.ERROR, enable_file_logging=False)
    with api.SnakemakeApi(quiet) as snakemake:
        try:
            workflow = snakemake.workflow(
                resource_settings=types.ResourceSettings(cores=1, default_resources=args.default_resources),
                config_settings=types.ConfigSettings(
                    config=cli.parse_config(args.config), configfiles=args.configfile or []
                ),
                snakefile=Path(args.snakefile or "Snakefile"),
            )
            triggers = types.DAGSettings(
                targets=set(args.targets),
                rerun_triggers=args.rerun_triggers,
                max_checksum_file_size=args.max_checksum_file_size,
            )
            with redirect_stdout(StringIO()):
                workflow.dag(triggers).printrulegraph()  # the cheapest of its commands that builds the graph
            dag, config = workflow._workflow.dag, workflow._workflow.config
            _force_incomplete(workflow._workflow)
            to_run = set(dag.needrun_jobs(exclude_finished=False))
            return config, [_planned(job, job in to_run) for job in dag.jobs]
        except Exception as error:  # Snakemake explains all of its own
            snakemake.print_exception(error)
            return None


def _force_incomplete(workflow: Any) -> None:
    """Files that a stopped job was writing are made anew, as by Snakemake's `rerun-incomplete` in our profiles."""
    incomplete = workflow.async_run(workflow.dag.incomplete_files())
    if incomplete:
        workflow.dag.forcefiles.update(incomplete)
        workflow.async_run(workflow.dag.update_needrun())


def _planned(job: Any, to_run: bool) -> PlannedJob:
    return PlannedJob(
        rule=SHARED if job.rule.name.startswith(SHARED) else job.rule.name,  # a rule a group
        outputs=tuple(map(Path, job.output)),
        wildcards=dict(job.wildcards_dict),
        params=dict(job.params.items()),
        inputs={
            name: Path(value) if isinstance(value, str) else list(map(Path, value))
            for name, value in job.input.items()
        },
        benchmark=Path(job.benchmark) if job.benchmark else None,
        gpus=job.resources.get("gpu"),
        memory_mb=job.resources.get("mem_mb"),
        to_run=to_run,
        target=bool(job.rule.norun),
        submitted=job.rule.name not in job.rule.workflow._localrules and not job.rule.norun,
    )


@dataclass
class Actual:
    """What some jobs have taken or made so far, and what was expected of these same jobs: the ratio of the two is what
    to correct the assumptions by.

    Attributes:
        value, estimate: in the unit of the line; `estimate` without jobs that have none.
        stale: of the jobs, how many are to run again: theirs is what the run before has taken.
        memory: the largest resident memory of a job, megabytes; 0 where it was not taken.
    """

    value: float = 0.0
    estimate: float = 0.0
    jobs: int = 0
    stale: int = 0
    memory: float = 0.0

    def add(self, value: float, estimate: float, job: PlannedJob, memory: float = 0.0) -> None:
        """Count a job."""
        self.value += value
        self.estimate += estimate
        self.jobs += 1
        self.stale += job.to_run
        self.memory = max(self.memory, memory)


@dataclass
class RuleRow:
    """All jobs of a rule. Hours are of GPUs where its jobs ask for any, of CPU cores elsewhere; None: no estimate."""

    rule: str
    target: bool
    jobs: int = 0
    to_run: int = 0
    gpus: int = 0
    hours: float | None = None
    counts: dict[str, float] = field(default_factory=dict)
    rests: tuple[str, ...] = ()
    reason: str | None = None
    actual: Actual | None = None

    def add(self, job: Estimate) -> None:
        """Count a job, and what its benchmark file says."""
        self.jobs += 1
        self.to_run += job.planned.to_run
        self.gpus = max(self.gpus, job.planned.gpus or 0)
        counts = job.counts | job.storage.gigabytes()
        self.counts |= {unit: self.counts.get(unit, 0) + count for unit, count in counts.items()}
        self.rests = tuple(dict.fromkeys((*self.rests, *job.rests)))
        self.reason = self.reason or job.reason
        if job.seconds is not None:
            self.hours = (self.hours or 0.0) + job.hours(job.seconds)
        if benchmark := read_benchmark(job.planned.benchmark):
            self.actual = self.actual or Actual()
            self.actual.add(job.hours(benchmark[0]), job.hours(job.seconds), job.planned, benchmark[1])


@dataclass(frozen=True)
class Total:
    """A line of the summary."""

    name: str
    value: float
    unit: str
    rests: tuple[str, ...]
    note: str
    actual: Actual | None


@dataclass(frozen=True)
class Plan:
    """All jobs of some targets, as plain values.

    Attributes:
        submitted: of those to run, how many a cluster's scheduler would be given.
        assumptions: those that any line rests on.
        notes: on what the judge has used, or why that cannot be told.
    """

    scale: str
    targets: tuple[str, ...]
    jobs: int
    to_run: int
    submitted: int
    rules: list[RuleRow]
    totals: list[Total]
    assumptions: dict[str, dict[str, Any]]
    notes: list[str]


def make_plan(config: Config, jobs: Sequence[PlannedJob], targets: Sequence[str] = ()) -> Plan:
    """Estimate all jobs and read what the run so far has left.

    Args:
        config: merged and checked.
        targets: as given to Snakemake; none for the default one.
    """
    sizes, rows = Sizes(config), {}
    estimates = [Estimate(job, sizes) for job in jobs]
    for job in estimates:
        rows.setdefault(job.planned.rule, RuleRow(job.planned.rule, job.planned.target)).add(job)
    rules = sorted(
        rows.values(), key=lambda row: (row.target, -(row.hours or 0), row.hours is None, row.rule)
    )
    usage, notes = judge_usage(sizes, estimates)
    counted = _totals(sizes, estimates, actual_counts(estimates) | usage)
    totals = [_hours(rules, True), _hours(rules, False), *counted, *_storage(estimates)]
    rests = {name for line in (*rules, *totals) for name in line.rests}
    used = {name: row for name, row in sizes.assumptions.items() if name in rests}
    for name, row in used.items():
        if isinstance(row["value"], Mapping):
            keys = {key for job in estimates for key in job.rests.get(name, ())}
            row["value"] = {key: value for key, value in row["value"].items() if key in keys}
    numbers = len(jobs), sum(job.to_run for job in jobs), sum(job.to_run and job.submitted for job in jobs)
    return Plan(config["scale"], tuple(targets) or ("default",), *numbers, rules, totals, used, notes)


def _hours(rules: Iterable[RuleRow], gpu: bool) -> Total:
    rows = [row for row in rules if (row.gpus > 0) is gpu and not row.target]
    names = sorted({name for row in rows for name in row.rests if name.endswith("_seconds")})
    note = f"{', '.join(names)}: see the rules" if names else "no job asks for a GPU" if gpu else ""
    drawing = sum(row.hours or 0 for row in rows if DRAWING in row.rests)
    unknown = ", ".join(sorted(row.rule for row in rows if row.reason))
    note = "; ".join(filter(None, [note, unknown and f"without {unknown}: no estimate"]))
    measured = [row.actual for row in rows if row.actual and row.hours is not None]
    values, expected = ([getattr(one, name) for one in measured] for name in ("value", "estimate"))
    actual = Actual(sum(values), sum(expected)) if measured else None
    name, total = "GPU-hours" if gpu else "CPU-hours", sum(row.hours or 0 for row in rows)
    if gpu and 0 < drawing < total:
        note = f"pictures {drawing:.1f}, all else {total - drawing:.1f}; {note}"
    return Total(name, total, "h", (), note, actual)


def _totals(sizes: Sizes, estimates: Sequence[Estimate], actual: Mapping[str, Actual]) -> Iterable[Total]:
    judge = sizes.config["evaluation"]["openai"]
    counts = {name: sum(job.counts.get(name, 0) for job in estimates) for name in SUMMARY}
    notes = {name: "" if rests else "counted from the configuration" for name, rests in SUMMARY.items()}
    notes |= {f"{what} tokens": "prompts and replies" for what in TOKENS}
    notes["judge cost"] = "in their currency" + ", halved for the Batch API" * judge["batch_api"]
    local = sizes.config["evaluation"]["judge"] == "local"
    if local:
        cost = sum(job.judge_cost for job in estimates)
        notes |= dict.fromkeys(("judge calls", "judge tokens"), "local judge: no calls")
        notes["judge cost"] = f"local judge; {judge['model']} would cost about {cost:,.2f}"
    assumed = {name for job in estimates for name in job.rests}
    for name, rests in SUMMARY.items():
        if counts[name] or not name.startswith(("text", "pictures opened")):
            unit = "USD" if name == "text cost" else ""
            own = tuple(
                one for one in rests if one in assumed or "price" in one or (local and "judge" in one)
            )
            yield Total(name, counts[name], unit, own, notes[name], actual.get(name))


def _storage(estimates: Sequence[Estimate]) -> Iterable[Total]:
    """What all jobs read, and what they leave on disk, beside it what lies there of their outputs."""
    read, disk, found = Counter[str](), Counter[str](), Actual()
    lacking = dict.fromkeys(one for job in estimates for one in job.lacks if "_mb of " in one)
    for job in estimates:
        read.update(job.storage.read)
        disk.update(job.storage.disk)
        if size := bytes_of(job.storage.places):
            found.add(size / 1e9, job.storage.disk.total() / 1e3, job.planned)
    disk["checkpoints of a running training"] = max(
        (job.storage.checkpoint for job in estimates), default=0.0
    )
    without = f"without plan.{', plan.'.join(lacking)}: no value" if lacking else ""
    so_far = "so far: without pictures in work/" if found.jobs else ""
    yield Total("read", read.total() / 1e3, "GB", (), "; ".join(filter(None, (_kinds(read), without))), None)
    note = "; ".join(filter(None, (_kinds(disk), without, so_far)))
    yield Total("disk", disk.total() / 1e3, "GB", (), note, found if found.jobs else None)


def _kinds(amounts: Mapping[str, float]) -> str:
    """`features 1,203, adapters 0.3`, in GB, the largest first."""
    ordered = sorted(
        ((kind, value / 1e3) for kind, value in amounts.items() if value), key=lambda one: -one[1]
    )
    return ", ".join(f"{kind} {f'{gb:,.0f}' if gb >= 100 else f'{gb:.2g}'}" for kind, gb in ordered)


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(1 for line in handle if line.strip())


def _entry(path: Path, key: str) -> float | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get(key)
    except ValueError:  # half written by another program: no count
        return None


TELLING = {
    "answers/*": ("questions", _lines),
    "judgements/*": ("judge cases", _lines),
    "models/*/training.json": ("optimizer steps", lambda path: _entry(path, "steps")),
    "lifelong/*/before.jsonl": ("questions", _lines),
    "lifelong/*/answers.jsonl": ("questions", _lines),
    "lifelong/*/rejection.jsonl": ("judge cases", _lines),
    "lifelong/*/correctness.jsonl": ("judge cases", _lines),
    "lifelong/*/training.json": ("optimizer steps", lambda path: _entry(path, "steps")),
    "images/filters.json": ("", lambda path: _entry(path, "candidates")),
}
"""Files below the results -> the line of the summary that they tell of (none: the pictures'), and what a file says of
it."""


def actual_counts(estimates: Sequence[Estimate]) -> dict[str, Actual]:
    """Name of a summary line -> what was made, where files tell. Only files of planned jobs are read, so that what
    other recipes left behind does not count."""
    actual: dict[str, Actual] = {}
    for job in estimates:
        for pattern, (name, read) in TELLING.items():
            files = job.outputs(pattern)
            name = name or job.sizes.pictures_unit
            numbers = [read(path) for path in files if path.is_file()]
            if files and len(numbers) == len(files) and None not in numbers:
                expected = job.counts.get(name) or sum(other.counts.get(name, 0) for other in estimates)
                actual.setdefault(name, Actual()).add(sum(numbers), expected, job.planned)
    return actual


def judge_usage(sizes: Sizes, estimates: Sequence[Estimate]) -> tuple[dict[str, Actual], list[str]]:
    """Name of a summary line -> what the planned judging jobs have used so far, by the verdicts that the judge's store
    keeps, and what to say of it; both empty where no model judges, or nothing has been judged. The store is only
    read."""
    evaluation = sizes.config["evaluation"]
    patterns = [pattern for pattern, (name, _) in TELLING.items() if name == "judge cases"]
    judged = [
        job for job in estimates if any(path.is_file() for one in patterns for path in job.outputs(one))
    ]
    if evaluation["judge"] == "local" or not judged:
        return {}, []
    options = evaluation[evaluation["judge"]]
    try:
        jobs = [(job.planned.params["rubric"], job.planned.inputs) for job in judged]
        cases, usage, ledger = usage_of(jobs, options)
    except (StoreError, ValueError, OSError) as error:
        return {}, [f"What the judge has used so far cannot be told. {error}"]
    tokens = usage.prompt_tokens, usage.completion_tokens
    values = {"calls": usage.verdicts, "tokens": sum(tokens), "cost": sizes.cost("judge", *tokens)}
    estimates = {part: sum(job.counts[f"judge {part}"] for job in judged) for part in values}
    actual = {f"judge {part}": Actual(value, estimates[part]) for part, value in values.items()}
    return actual, [_about(options["store"], cases, usage, ledger)]


def _about(store: str, cases: int, usage: Usage, ledger: Spending) -> str:
    unmetered = f" {usage.unmetered:,} of them came without token counts." if usage.unmetered else ""
    return (
        f"Judge so far: {store} keeps verdicts for {usage.verdicts:,} of the {cases:,} different cases of the judged "
        "files; each counts one call, its tokens and their cost by the configured prices, whichever run paid for it."
        f"{unmetered} The store's ledger (all runs and judges, failed attempts and what is set aside included, at the "
        f"prices then, batches in full): {ledger.calls:,} calls, "
        f"{ledger.prompt_tokens + ledger.completion_tokens:,} tokens, cost {ledger.cost:,.4f}."
    )
