"""From jobs to estimates: seconds by rule, and what all jobs together draw, ask and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmunlearn.workflow.job import PlannedJob
from mmunlearn.workflow.planning.work import Work, work_of

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Assumption:
    """A row of the configuration's table `plan`, or a price of the judge: a name with dots is a key of its own."""

    name: str
    value: float | Mapping[str, float]
    unit: str
    source: str

    def of(self, model: str | None) -> float | None:
        """The value, of a model where it has one for each; None where that model is not named."""
        return self.value.get(model or "") if isinstance(self.value, Mapping) else self.value


def assumptions(config: Config) -> dict[str, Assumption]:
    """The table `plan`, without the rates of models that are not in `models`, and the judge's prices."""
    table = {}
    for name, row in config["plan"].items():
        value = row["value"]
        if isinstance(value, Mapping):
            value = {model: value[model] for model in value if model in config["models"]}
        table[name] = Assumption(name, value, row["unit"], row["source"])
    judge = config["evaluation"]["openai"]
    source = "as configured, halved: batch_api" if judge["batch_api"] else "as configured"
    for name in JUDGE_PRICES:
        price = judge[name.rpartition(".")[2]] / (2 if judge["batch_api"] else 1)
        table[name] = Assumption(name, price, "a million tokens", source)
    return table


JUDGE_PRICES = ("evaluation.openai.prompt_price", "evaluation.openai.completion_price")
TEXT_PRICES = ("text_price_prompt", "text_price_reply")


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
    """What all jobs together need: hours, pictures, questions, judge calls, tokens, cost."""
    counts: Counter = Counter()
    for one in estimates:
        counts.update(one.work.counts)
    rows = [_hours(estimates, gpu) for gpu in (True, False)]
    rows.append(Total("pictures drawn", counts["pictures drawn"] + counts["pictures redrawn"], "", PICTURES))
    rows.append(Total("optimizer steps", counts["optimizer steps"], "", ("steps_share",)))
    rows.append(Total("questions", counts["questions"], "", note="counted from the configuration"))
    rows.append(Total("answer tokens", counts["answer tokens"], "", LENGTHS))
    rows.append(Total("judge cases", counts["judge cases"], "", note="counted from the configuration"))
    rows += _judge(config, counts)
    if counts["texts"]:
        rows += _asked(config, counts, "text", TEXT_PRICES, "USD")
    return rows


PICTURES = ("acceptance", "pair_refusals")
LENGTHS = ("person_tokens", "event_tokens", "object_tokens")


def _hours(estimates: Sequence[Estimate], gpu: bool) -> Total:
    own = [one for one in estimates if (one.job.gpus > 0) is gpu]
    value = sum(hours(one.job, one.seconds) for one in own if one.seconds is not None)
    unknown = sorted({one.job.rule for one in own if one.seconds is None})
    names = sorted({name for one in own for _, name in one.work.terms})
    note = f"{', '.join(names)}: see the rules" if names else "no job asks for a GPU" if gpu else ""
    without = f"without {', '.join(unknown)}: no estimate" if unknown else ""
    note = "; ".join(filter(None, [note, without]))
    return Total("GPU-hours" if gpu else "CPU-hours", value, "h", note=note)


def _judge(config: Config, counts: Mapping[str, float]) -> list[Total]:
    rows = _asked(config, counts, "judge", JUDGE_PRICES)
    if config["evaluation"]["judge"] != "local":
        halved = ", halved for the Batch API" if config["evaluation"]["openai"]["batch_api"] else ""
        return [*rows[:2], replace(rows[2], note=f"in their currency{halved}")]
    table = assumptions(config)
    calls = counts.get("judge cases", 0) * table["judge_calls"].value
    cost = cost_of(config, *(calls * table[f"judge_{part}_tokens"].value for part in ("prompt", "reply")))
    name = config["evaluation"]["openai"]["model"]
    notes = [*["local judge: no calls"] * 2, f"local judge; {name} would cost about {cost:,.2f}"]
    return [replace(row, note=note) for row, note in zip(rows, notes, strict=True)]


def cost_of(config: Config, prompt: float, reply: float) -> float:
    """What so many tokens of the judge's prompts and replies cost by the configuration."""
    table = assumptions(config)
    return sum(n * table[name].value / 1e6 for n, name in zip((prompt, reply), JUDGE_PRICES, strict=True))


def _asked(
    config: Config, counts: Mapping[str, float], what: str, prices: tuple[str, str], unit: str = ""
) -> list[Total]:
    tokens = [counts.get(f"{what} {part} tokens", 0) for part in ("prompt", "reply")]
    names = tuple(f"{what}_{part}" for part in ("calls", "prompt_tokens", "reply_tokens"))
    table = assumptions(config)
    cost = sum(n * table[name].value / 1e6 for n, name in zip(tokens, prices, strict=True))
    return [
        Total(f"{what} calls", counts.get(f"{what} calls", 0), "", names[:1]),
        Total(f"{what} tokens", sum(tokens), "", names[1:], "prompts and replies"),
        Total(f"{what} cost", cost, unit, prices),
    ]
