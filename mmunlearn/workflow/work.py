"""What the jobs of Snakemake's graph have to do, and how long that is expected to take.

No rule is named here: what a job does follows from the files that it makes, from its params, and from the table of
runs. Its seconds are counts times assumptions; where nobody can tell them, a reason stands instead, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import Any

from mmunlearn.dataset.splits import concepts_to_forget
from mmunlearn.evaluation.sampling import Sample
from mmunlearn.ids import FINETUNED, GOAL, Recipe, Run, parse_recipe, parse_split, split_id, split_parts
from mmunlearn.records import POPE_SUBSETS
from mmunlearn.registry import Entry
from mmunlearn.training.methods import METHODS
from mmunlearn.training.schedule import steps_of
from mmunlearn.workflow import lifelong_work
from mmunlearn.workflow.targets import Targets

Config = Mapping[str, Any]
Counts = Mapping[str, float]
"""Unit -> how many, e.g. `pictures drawn`."""

LIGHT, DRAWING, MODEL = "light_job_seconds", "draw_job_seconds", "model_job_seconds"
SECONDS = {
    "pictures drawn": ("draw_seconds", "score_seconds", DRAWING),
    "reference pictures": ("draw_seconds", "score_seconds", DRAWING),
    "unseen pictures": ("draw_seconds", "score_seconds", DRAWING),
    "set pictures": ("draw_seconds", LIGHT),
    "pictures encoded": ("encode_seconds", MODEL),
    "pictures shown": ("train_seconds", MODEL),
    "pictures relearned": ("train_seconds", MODEL),
    "questions": ("question_seconds", MODEL),
    "answers weighed": ("question_seconds", MODEL),
    "answer tokens": ("token_seconds", MODEL),
    "judge calls": ("call_seconds", LIGHT),
    "text calls": ("call_seconds", LIGHT),
}
"""Unit -> the assumptions that say the seconds of one, and last the one that says what such a job takes besides."""
TOKENS = {what: (f"{what}_prompt_tokens", f"{what}_reply_tokens") for what in ("judge", "text")}
PRICES = {
    "judge": ("evaluation.openai.prompt_price", "evaluation.openai.completion_price"),
    "text": ("text_price_prompt", "text_price_reply"),
}
LENGTHS = {"person": "person_tokens", "event": "event_tokens", "object": "object_tokens"}
POPE_QUESTIONS = {"pocket": 2, "files": 6}
"""By `dataset.reference_sets`: questions on a picture, in each of POPE's subsets."""
PARAPHRASES = 5
"""Wordings of a question in the shipped files."""


def assumptions(config: Config) -> dict[str, dict[str, Any]]:
    """Name -> value (or one by model), unit and source: the table `plan`, without the rates of models that are not in
    `models`, and the judge's prices, whose names have dots."""
    table = {name: dict(row) for name, row in config["plan"].items()}
    for row in table.values():
        if isinstance(row["value"], Mapping):
            row["value"] = {model: rate for model, rate in row["value"].items() if model in config["models"]}
    judge = config["evaluation"]["openai"]
    share, source = (0.5, "as configured, halved: batch_api") if judge["batch_api"] else (1, "as configured")
    for name in PRICES["judge"]:
        price = judge[name.rpartition(".")[2]] * share
        table[name] = {"value": price, "unit": "a million tokens", "source": source}
    return table


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake plans.

    Attributes:
        inputs: its named inputs, files or lists of files.
        benchmark: where its seconds and memory will stand, or stand already.
        gpus: what it asks of the machine; None where it leaves that open, as light jobs do.
        to_run: False where its outputs are there and up to date.
        target: it only collects files and runs nothing.
    """

    rule: str
    outputs: tuple[Path, ...]
    wildcards: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Path | list[Path]] = field(default_factory=dict)
    benchmark: Path | None = None
    gpus: int | None = None
    to_run: bool = True
    target: bool = False


class Sizes:
    """How many pictures and questions a configuration has, before any is made. Every picture is taken to be accepted
    in the end, which is what `images.max_attempts` is for.

    Attributes:
        concepts: people and events.
        cells: pictures of the data set: every person at every event.
        at_once: unit -> how many are worked on side by side.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.assumptions, self._runs = config, assumptions(config), Targets(config)
        self.concepts = {"person": config["curation"]["n_people"], "event": config["curation"]["n_events"]}
        self.cells = self.concepts["person"] * self.concepts["event"]
        calls, processes = config["evaluation"]["openai"]["concurrency"], config["training"]["processes"]
        self.at_once = {"judge calls": calls, "pictures shown": processes}

    def pictures(self, name: str) -> int:
        """Pictures of a suite, or those of a split's forget_train that robustness asks about."""
        dataset = self.config["dataset"]
        if name == "dataset":
            return self.cells
        if f"n_{name}" in dataset:
            return dataset[f"n_{name}"] * (len(dataset["targets"]) if name == "real" else 1)
        return _least(self.config["robustness"]["questions"], self.forgotten(name) // 2)

    def forgotten(self, split: str) -> int:
        """Pictures that a split forgets, for training and for testing; of `both` the union of its two parts."""
        gone = self._concepts(split)
        people, events = (count - gone.get(target, 0) for target, count in self.concepts.items())
        return self.cells - people * events

    def forget_questions(self, recipe: Recipe) -> int:
        """Questions that an unlearning recipe forgets: one on the first half of each forgotten concept's pictures."""
        half = {target: (self.cells // count + 1) // 2 for target, count in self.concepts.items()}
        gone = self._concepts(recipe.split)
        return sum(half[target] * (count if recipe.concept is None else 1) for target, count in gone.items())

    def _concepts(self, split: str) -> dict[str, int]:
        parts = map(parse_split, split_parts(split))
        return {target: concepts_to_forget(self.concepts[target], percent) for target, percent in parts}

    def questions(self, run: Run, suite: str) -> Counts:
        """Questions of a suite that a run is asked, by what they ask for: a person, an event, an object.

        Where `evaluation.retain_sample` is set, an upper bound: samples of several splits may share questions.
        """
        row, dataset = self._runs.row(run), self.config["dataset"]
        sample = Sample(**row.sample or {"seed": 0})
        if suite == "world":
            each = len(POPE_SUBSETS) * POPE_QUESTIONS[dataset["reference_sets"]]
            return {"object": _least(sample.world, dataset["n_world"] * each)}
        if suite == "real":
            return dict.fromkeys(dataset["targets"], _least(sample.real, dataset["n_real"]))
        if sample.retain is None:
            return dict.fromkeys(self.concepts, self.cells)
        counts: Counter[str] = Counter()
        largest = dict(map(parse_split, sorted(row.sample_splits)))
        for target, percent in largest.items():  # a larger split holds the smaller ones of its target
            forgotten = self.forgotten(split_id(target, percent))
            counts.update(dict.fromkeys([target] if sample.one_kind else self.concepts, forgotten))
            counts[target] += min(sample.retain, self.cells - forgotten)
        return {kind: min(count, self.cells) for kind, count in counts.items()}

    def cost(self, what: str, *tokens: float) -> float:
        """What so many tokens of prompts and of replies cost, of `judge` or `text`."""
        prices = (self.assumptions[name]["value"] for name in PRICES[what])
        return sum(count * price / 1e6 for count, price in zip(tokens, prices, strict=True))


def _least(limit: float | None, count: float) -> float:
    return count if limit is None else min(limit, count)


class Estimate:
    """One job: what it does and how long that is expected to take.

    Attributes:
        files: of its outputs, those that say what it does.
        rests: names of the assumptions that it rests on.
        seconds: None where nobody can tell them, `reason` says why; and of a target, which only collects files.
        judge_cost: what its verdicts cost, or would cost if the local judge did not give them.
    """

    def __init__(self, planned: PlannedJob, sizes: Sizes) -> None:
        self.planned, self.params, self.sizes = planned, planned.params, sizes
        self.rests: dict[str, None] = {}
        self.files: list[Path] = []
        self.judge_cost = 0.0
        self.reason: str | None = None
        self.counts = {} if planned.target else self._work()
        seconds = None if planned.target or self.reason else self._seconds()
        self.seconds = None if self.reason else seconds

    def assume(self, name: str) -> float:
        """The value of an assumption, which the estimate then rests on; 0 where it names none for the job's model."""
        self.rests[name] = None
        value, model = self.sizes.assumptions[name]["value"], self.planned.wildcards.get("model")
        if isinstance(value, Mapping):
            if model not in value:
                self.reason = self.reason or f"plan.{name} names no value for {model}"
            return value.get(model, 0.0)
        return value

    def unknown(self, reason: str) -> Counts:
        """Nothing that can be counted, or timed."""
        self.reason = reason
        return {}

    def judged(self, cases: float, distinct: float, tokens: Sequence[str]) -> Counts:
        """Verdicts, of which `distinct` are asked for; `tokens` name the assumptions of a call's prompt and reply."""
        value = {name: row["value"] for name, row in self.sizes.assumptions.items()}
        calls = distinct * value["judge_calls"]
        self.judge_cost = self.sizes.cost("judge", *(calls * value[name] for name in tokens))
        if self.params["judge"] == "local":
            return {"judge cases": cases}
        if self.sizes.config["evaluation"]["openai"]["batch_api"]:
            self.unknown("a batch takes up to 24 hours")
        return {"judge cases": cases, **_calls(self, "judge", distinct, tokens)}

    def outputs(self, pattern: str) -> list[Path]:
        """The job's files whose names below the results have a pattern."""
        pattern = f"results/{self.sizes.config['scale']}/{pattern}"
        return [path for path in self.planned.outputs if fnmatchcase(path.as_posix(), pattern)]

    @property
    def pictures(self) -> int:
        """Pictures of suites and splits, by the files' names."""
        return sum(self.sizes.pictures(path.stem) for path in self.files)

    def hours(self, seconds: float | None) -> float:
        """GPU-hours of a job that asks for GPUs, CPU-hours of any other."""
        return (seconds or 0.0) * (self.planned.gpus or 1) / 3600

    def _work(self) -> Counts:
        for pattern, count in MAKES.items():
            if files := self.outputs(pattern):
                self.files = files
                return count(self)
        if not self.outputs("*"):
            return self.unknown("its card in resources/pocket says how long it took")
        if self.planned.gpus is not None:  # light rules leave it open how many
            return self.unknown(f"nobody has said how long {self.planned.outputs[0].parts[2]}/ takes")
        return {}

    def _seconds(self) -> float:
        total, besides = 0.0, LIGHT
        for unit, count in self.counts.items():
            if unit in SECONDS:
                *names, besides = SECONDS[unit]
                total += count / self.sizes.at_once.get(unit, 1) * sum(map(self.assume, names))
        return total + self.assume(besides)


def _writing(job: Estimate) -> Counts:
    if job.params["curator"] == "shipped":
        return {}
    return {"texts": job.params["n"], **_calls(job, "text", job.params["n"], TOKENS["text"])}


def _calls(job: Estimate, what: str, cases: float, names: Sequence[str]) -> Counts:
    calls = cases * job.assume(f"{what}_calls")
    tokens = [calls * job.assume(name) for name in names]
    counts = {"calls": calls, "tokens": sum(tokens), "cost": job.sizes.cost(what, *tokens)}
    return {f"{what} {unit}": count for unit, count in counts.items()}


def _shards(job: Estimate) -> Counts:
    size, concepts = job.params["people_per_shard"], job.sizes.concepts
    people = sum(min(size, concepts["person"] - int(path.stem) * size) for path in job.files)
    return {"pictures drawn": people * concepts["event"] * _attempts(job)}


def _attempts(job: Estimate) -> float:
    """Pictures that are expected to be drawn for a valid one.

    Draws are made in units of `batch` pictures, until one is valid or `max_attempts` are reached. Unit k + 1 is drawn
    when k units had no valid picture, so a cell takes unit * sum over k of (1 - acceptance)^(unit k).
    """
    refused, unit = 1 - job.assume("acceptance"), job.params["batch"]
    return unit * sum(refused ** (unit * k) for k in range(job.params["max_attempts"] // unit))


def _settling(job: Estimate) -> Counts:
    pictures = job.sizes.cells * job.assume("pair_refusals") * job.params["candidates"]
    return {"pictures drawn": pictures} if pictures else {}  # then it loads no network


def _reference_sets(job: Estimate) -> Counts:
    if job.params["source"] != "pocket":
        return job.unknown("depends on the size of your collections")
    return {"set pictures": job.pictures}


def _training(job: Estimate) -> Counts:
    """One training, for its last adapter or for some along the way: then it ends with the last of these."""
    recipes = [parse_recipe(Run.of(path).recipe) for path in job.files]
    recipe, params, sizes = recipes[0], job.params, job.sizes
    batch, epochs = params["loop"]["batch"] * params["loop"]["accumulation"], params["epochs"]
    if recipe.method in (FINETUNED, GOAL):
        forgotten = sizes.forgotten(recipe.split) if recipe.method == GOAL else 0
        pictures = sizes.cells - forgotten + sizes.pictures("replay")
        return {"optimizer steps": epochs * -(-pictures // batch), "pictures shown": epochs * pictures}
    questions, steps = sizes.forget_questions(recipe), params["max_steps"]
    steps = min(steps, steps_of(epochs, questions, batch) if epochs else inf) * job.assume("steps_share")
    steps = min(steps, max(inf if recipe.step is None else recipe.step for recipe in recipes))
    passes = METHODS.get(recipe.method, Entry("")).passes + (
        params.get("options", {}).get("reference") == "refusals"
    )
    shown = steps * min(batch, questions) * passes
    return {"optimizer steps": steps, "pictures shown": shown}


def _answering(job: Estimate) -> Counts:
    counts: Counter[str] = Counter()
    for path in job.files:
        counts.update(job.sizes.questions(Run.of(path), path.stem))
    tokens = sum(counts[kind] * job.assume(length) for kind, length in LENGTHS.items() if kind in counts)
    return {"questions": counts.total(), "answer tokens": tokens}


def _judging(job: Estimate) -> Counts:
    """The event answers on the split's forgotten pictures."""
    cases = sum(job.sizes.forgotten(path.stem) for path in job.files)
    return job.judged(cases, cases, TOKENS["judge"])


def _attacking(job: Estimate) -> Counts:
    """Questions to the forget set, as often as the attacks ask them; half of them are of forget_train."""
    attacks, split = job.params["attacks"], job.planned.wildcards["split"]
    pictures, relearning = 2 * job.sizes.pictures(split), attacks["relearning"]
    times = len(relearning["steps"]) + 1 + PARAPHRASES
    times += 1 + len(attacks["quantisation"]["bits"])  # forget_train and, about as many, retain
    return {
        "questions": pictures * times,
        "answer tokens": pictures * times * job.assume(LENGTHS[parse_split(split)[0]]),
        "answers weighed": pictures,
        "pictures relearned": max(relearning["steps"]) * relearning["batch"],
    }


MAKES: Mapping[str, Callable[[Estimate], Counts]] = {
    "weights/*": lambda job: job.unknown("depends on your connection"),
    "curation/drafts/*": _writing,
    "images/references.npz": lambda job: {
        "reference pictures": job.params["references_per_event"] * job.sizes.concepts["event"]
    },
    "images/shards/*.parquet": _shards,
    "images/settled.parquet": _settling,
    "robustness/unseen/*.parquet": lambda job: {"unseen pictures": job.pictures * _attempts(job)},
    "dataset/real.jsonl": _reference_sets,
    "dataset/world.jsonl": _reference_sets,
    "dataset/replay.jsonl": _reference_sets,
    "features/*": lambda job: {"pictures encoded": job.pictures},
    "robustness/unseen/*.safetensors": lambda job: {"pictures encoded": job.pictures},
    "models/*/adapter_model.safetensors": _training,
    "answers/*": _answering,
    "judgements/*": _judging,
    "robustness/*.json": _attacking,
    "lifelong/*/features.safetensors": lifelong_work.encoding,
    "lifelong/*/before.jsonl": lifelong_work.answering_before,
    "lifelong/*/training.json": lifelong_work.training,
    "lifelong/*/answers.jsonl": lifelong_work.answering,
    "lifelong/*/gates/*.jsonl": lifelong_work.asking_gate,
    "lifelong/*/drift.json": lifelong_work.measuring_drift,
    "lifelong/*/rejection.jsonl": lifelong_work.rating,
    "lifelong/*/correctness.jsonl": lifelong_work.rating,
}
"""What lies below the results -> what making it takes. A job that makes nothing of these is a light one."""
