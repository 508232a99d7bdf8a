"""From jobs to estimates: seconds by rule, and what all jobs together draw, ask and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmunlearn.planning.work import Work, work_of
from mmunlearn.workflow import PlannedJob

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Assumption:
    """A row of the configuration's table `plan`."""

    name: str
    value: float | Mapping[str, float]
    unit: str
    source: str

    def of(self, model: str | None) -> float | None:
        """The value, of a model where it has one for each; None where that model is not named."""
        return self.value.get(model or "") if isinstance(self.value, Mapping) else self.value


def assumptions(config: Config) -> dict[str, Assumption]:
    """The table `plan`, without the rates of models that are not in `models`."""
    table = {}
    for name, row in config["plan"].items():
        value = row["value"]
        if isinstance(value, Mapping):
            value = {model: value[model] for model in value if model in config["models"]}
        table[name] = Assumption(name, value, row["unit"], row["source"])
    return table


@dataclass(frozen=True)
class Estimate:
    """One job: what it does and how long that is expected to take, in seconds; None: no estimate, `reason` says why."""

    job: PlannedJob
    work: Work
    seconds: float | None
    rests: tuple[str, ...]
    reason: str | None


def estimate_jobs(config: Config, jobs: Iterable[PlannedJob]) -> list[Estimate]:
    """An estimate of every job that runs something."""
    table = assumptions(config)
    return [_estimate(config, job, table) for job in jobs if not job.target]


def _estimate(config: Config, job: PlannedJob, table: Mapping[str, Assumption]) -> Estimate:
    model = job.wildcards.get("model")
    work = work_of(config, job, lambda name: table[name].of(model) or 0.0)
    rests = (*work.rests, *(name for _, name in work.terms))
    rates = {name: table[name].of(model) for name in rests}
    missing = [name for name, rate in rates.items() if rate is None]
    reason = work.reason or (f"plan.{missing[0]} names no value for {model}" if missing else None)
    seconds = None if reason else sum(count * rates[name] for count, name in work.terms)
    return Estimate(job, work, seconds, rests, reason)


@dataclass
class RuleRow:
    """All jobs of a rule. Hours are of GPUs where its jobs ask for any, of CPU cores elsewhere."""

    rule: str
    jobs: int = 0
    to_run: int = 0
    gpus: int = 0
    target: bool = False
    hours: float = 0.0
    estimated: int = 0
    counts: Counter = field(default_factory=Counter)
    rests: tuple[str, ...] = ()
    reason: str | None = None


def by_rule(jobs: Sequence[PlannedJob], estimates: Sequence[Estimate]) -> list[RuleRow]:
    """A row a rule: the longest first, then those without an estimate, then targets."""
    rows: dict[str, RuleRow] = {}
    for job in jobs:
        row = rows.setdefault(job.rule, RuleRow(job.rule, target=job.target))
        row.jobs += 1
        row.to_run += job.to_run
        row.gpus = max(row.gpus, job.gpus)
    for one in estimates:
        row = rows[one.job.rule]
        row.counts.update(one.work.counts)
        row.rests = tuple(dict.fromkeys((*row.rests, *one.rests)))
        row.reason = row.reason or one.reason
        if one.seconds is not None:
            row.estimated += 1
            row.hours += hours(one.job, one.seconds)
    return sorted(rows.values(), key=lambda row: (row.target, row.estimated == 0, -row.hours, row.rule))


def hours(job: PlannedJob, seconds: float) -> float:
    """GPU-hours of a job that asks for GPUs, CPU-hours of any other."""
    return seconds * max(job.gpus, 1) / 3600


@dataclass(frozen=True)
class Total:
    """A line of the summary."""

    name: str
    value: float
    unit: str
    rests: tuple[str, ...] = ()
    note: str = ""


def totals(config: Config, estimates: Sequence[Estimate]) -> list[Total]:
    """What all jobs together need: hours, pictures, questions, judge calls, tokens, cost in US dollars."""
    counts: Counter = Counter()
    for one in estimates:
        counts.update(one.work.counts)
    rows = [_hours(estimates, gpu) for gpu in (True, False)]
    rows.append(Total("pictures drawn", counts["pictures drawn"] + counts["pictures redrawn"], "", PICTURES))
    rows.append(Total("optimizer steps", counts["optimizer steps"], "", ("steps_share",)))
    rows.append(Total("questions", counts["questions"], "", note="counted from the configuration"))
    rows.append(Total("answer tokens", counts["answer tokens"], "", LENGTHS))
    rows.append(Total("judge cases", counts["judge cases"], "", note="counted from the configuration"))
    rows += _asked(config, counts, "judge", "judge cases")
    if counts["texts"]:
        rows += _asked(config, counts, "text", "texts")
    return rows


PICTURES = ("acceptance", "pair_refusals")
LENGTHS = ("person_tokens", "event_tokens", "object_tokens")


def _hours(estimates: Sequence[Estimate], gpu: bool) -> Total:
    own = [one for one in estimates if (one.job.gpus > 0) is gpu]
    value = sum(hours(one.job, one.seconds) for one in own if one.seconds is not None)
    unknown = sorted({one.job.rule for one in own if one.seconds is None})
    names = sorted({name for one in own for _, name in one.work.terms})
    note = f"{', '.join(names)}: see the rules" if names else "no job asks for a GPU" if gpu else ""
    note += f"; without {', '.join(unknown)}: no estimate" if unknown else ""
    return Total("GPU-hours" if gpu else "CPU-hours", value, "h", note=note)


def _asked(config: Config, counts: Mapping[str, float], what: str, cases: str) -> list[Total]:
    calls = counts.get(f"{what} calls", 0)
    tokens = tuple(counts.get(f"{what} {part} tokens", 0) for part in ("prompt", "reply"))
    names = tuple(f"{what}_{part}" for part in ("calls", "prompt_tokens", "reply_tokens"))
    prices = (f"{what}_price_prompt", f"{what}_price_reply")
    table = assumptions(config)
    price = [table[name].value / 1e6 for name in prices]
    note, price_note = "", ""
    if what == "judge" and config["evaluation"]["judge"] == "local":
        each, prompt, reply = (table[name].value for name in names)
        cost = counts.get(cases, 0) * each * (prompt * price[0] + reply * price[1])
        note, price_note = "local judge: no calls", f"a language model's would be about {cost:,.2f} USD"
    return [
        Total(f"{what} calls", calls, "", names[:1], note),
        Total(f"{what} tokens", sum(tokens), "", names[1:], note or "prompts and replies"),
        Total(f"{what} cost", tokens[0] * price[0] + tokens[1] * price[1], "USD", prices, price_note),
    ]
