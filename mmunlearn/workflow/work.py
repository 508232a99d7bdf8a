"""What the jobs of Snakemake's graph have to do, and how long that is expected to take.

No rule is named here: what a job does follows from the files that it makes, from its params, and from the table of
runs. Its seconds are counts times assumptions; where nobody can tell them, a reason stands instead, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import ceil, inf
from pathlib import Path
from typing import Any

from mmunlearn.ids import FINETUNED, GOAL, Run, parse_recipe, parse_split
from mmunlearn.registry import Entry
from mmunlearn.synthesis.policy import expected_draws
from mmunlearn.training.methods import METHODS
from mmunlearn.training.schedule import steps_of
from mmunlearn.workflow import lifelong_work
from mmunlearn.workflow.sizes import Counts, Sizes
from mmunlearn.workflow.storage import EMBEDDINGS, PICTURES, Storage

LIGHT, DRAWING, MODEL = "light_job_seconds", "draw_job_seconds", "model_job_seconds"
SECONDS = {
    "pictures drawn": ("draw_seconds", "score_seconds", DRAWING),
    "pictures opened": ("draw_seconds", "score_seconds", DRAWING),
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
LENGTHS = {"person": "person_tokens", "event": "event_tokens", "object": "object_tokens"}
PARAPHRASES = 5
"""Wordings of a question in the shipped files."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake plans.

    Attributes:
        inputs: its named inputs, files or lists of files.
        benchmark: where its seconds and memory will stand, or stand already.
        gpus: what it asks of the machine; None where it leaves that open, as light jobs do.
        memory_mb: main memory that it asks for; None as of `gpus`.
        to_run: False where its outputs are there and up to date.
        target: it only collects files and runs nothing.
        submitted: on a cluster its scheduler runs it, not Snakemake's own machine.
    """

    rule: str
    outputs: tuple[Path, ...]
    wildcards: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Path | list[Path]] = field(default_factory=dict)
    benchmark: Path | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    to_run: bool = True
    target: bool = False
    submitted: bool = False


class Estimate:
    """One job: what it does and how long that is expected to take.

    Attributes:
        files: of its outputs, those that say what it does.
        rests: names of the assumptions that it rests on -> of those by model (or by name of weights), which.
        lacks: those that name no value for its model.
        storage: what it reads, and what it leaves on disk.
        seconds: None where nobody can tell them, `reason` says why; and of a target, which only collects files.
        judge_cost: what its verdicts cost, or would cost if the local judge did not give them.
    """

    def __init__(self, planned: PlannedJob, sizes: Sizes) -> None:
        self.planned, self.params, self.sizes = planned, planned.params, sizes
        self.rests: dict[str, set[str]] = {}
        self.lacks: dict[str, None] = {}
        self.storage = Storage(self)
        self.files: list[Path] = []
        self.judge_cost = 0.0
        self.reason: str | None = None
        self.counts = {} if planned.target else self._work()
        self.storage.load(base=self._besides == MODEL, networks=self._besides == DRAWING)
        seconds = None if planned.target or self.reason else self._seconds()
        self.seconds = None if self.reason else seconds

    def assume(self, name: str, key: str | None = None) -> float:
        """The value of an assumption, which the estimate then rests on; 0 where it names none for the job's model, or
        for another key."""
        keys, value = self.rests.setdefault(name, set()), self.sizes.assumptions[name]["value"]
        key = key or self.planned.wildcards.get("model")
        if isinstance(value, Mapping):
            if key not in value:
                self.reason = self.reason or f"plan.{name} names no value for {key}"
                self.lacks[f"{name} of {key}"] = None
                return 0.0
            keys.add(key)
            return value[key]
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
        if not self.planned.outputs:
            return {}  # it prints
        if not self.outputs("*"):
            return self.unknown("its card in resources/pocket says how long it took")
        if self.planned.gpus is not None:  # light rules leave it open how many
            return self.unknown(f"nobody has said how long {self.planned.outputs[0].parts[2]}/ takes")
        return {}

    @property
    def _besides(self) -> str:
        """The assumption on what the job takes besides."""
        return next((SECONDS[unit][-1] for unit in self.counts if unit in SECONDS), LIGHT)

    def _seconds(self) -> float:
        total = 0.0
        for unit, count in self.counts.items():
            if unit in SECONDS:
                total += count / self.sizes.at_once.get(unit, 1) * sum(map(self.assume, SECONDS[unit][:-1]))
        training = "pictures shown" in self.counts
        at_once = self.sizes.at_once["pictures shown"] if training else 1
        overlap = training and self.sizes.config["training"]["workers"] > 0
        return self.storage.seconds(total, overlap=overlap, at_once=at_once) + self.assume(self._besides)


def _writing(job: Estimate) -> Counts:
    if job.params.get("curator") != "openai":
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
    cells = job.sizes.pictures_of(people, concepts["event"])
    job.storage.keep(EMBEDDINGS, cells)
    return _drawn(job, job.sizes.pictures_unit, cells * _attempts(job))


def _drawn(job: Estimate, unit: str, pictures: float) -> Counts:
    job.storage.keep(PICTURES, pictures)
    return {unit: pictures}


def _attempts(job: Estimate) -> float:
    return expected_draws(job.assume("acceptance"), job.params["batch"], job.params["max_attempts"])


def _settling(job: Estimate) -> Counts:
    pictures = job.sizes.cells * job.assume("pair_refusals") * job.params["candidates"]
    return _drawn(job, job.sizes.pictures_unit, pictures) if pictures else {}  # then it loads no network


def _publishing(job: Estimate) -> Counts:
    """Accepted pictures are copied beside the manifest."""
    job.storage.keep(PICTURES, job.sizes.cells, [job.files[0].parent / "*.png"])
    return {}


def _encoding(job: Estimate) -> Counts:
    """Pictures of one suite or split; of none, no model is loaded."""
    if not job.pictures:
        return {}
    job.storage.keep_features(job.pictures, job.files)
    return {"pictures encoded": job.pictures}


def _fetching(job: Estimate) -> Counts:
    job.storage.keep_weights(job.files[0].stem)
    return job.unknown("depends on your connection")


def _reference_sets(job: Estimate) -> Counts:
    if job.params["source"] != "pocket":
        return job.unknown("depends on the size of your collections")
    return _drawn(job, "set pictures", job.pictures)


def _training(job: Estimate) -> Counts:
    """One training, for its last adapter or for some along the way: then it ends with the last of these."""
    recipes = [parse_recipe(Run.of(path).recipe) for path in job.files]
    recipe, params, sizes = recipes[0], job.params, job.sizes
    batch, epochs = params["loop"]["batch"] * params["loop"]["accumulation"], params["epochs"]
    if recipe.method in (FINETUNED, GOAL):
        forgotten = sizes.forgotten(recipe.split) if recipe.method == GOAL else 0
        pictures = sizes.cells - forgotten + sizes.pictures("replay")
        steps = epochs * -(-pictures // batch)
        job.storage.show(epochs * pictures)
        job.storage.keep_adapters(1, steps, job.files)
        return {"optimizer steps": steps, "pictures shown": epochs * pictures}
    questions, steps = sizes.forget_questions(recipe), params["max_steps"]
    steps = min(steps, steps_of(epochs, questions, batch) if epochs else inf) * job.assume("steps_share")
    steps = min(steps, max(inf if recipe.step is None else recipe.step for recipe in recipes))
    refusing = params.get("options", {}).get("reference") == "refusals"  # a reference that is trained first
    passes = METHODS.get(recipe.method, Entry("")).passes + refusing
    shown = steps * min(batch, questions)
    job.storage.show(shown * int(passes))  # a reference's pass has what the policy's was shown
    if refusing:
        job.storage.load(base=True)
    kept = {
        recipe.step and min(recipe.step, ceil(steps)) for recipe in recipes
    }  # later steps are links to the last
    job.storage.keep_adapters(len(kept) + (refusing and recipe.step is None), steps, job.files)
    return {"optimizer steps": steps, "pictures shown": shown * passes}


def _answering(job: Estimate) -> Counts:
    counts: Counter[str] = Counter()
    for path in job.files:
        counts.update(job.sizes.questions(Run.of(path), path.stem))
        job.storage.show(job.sizes.asked(Run.of(path), path.stem))
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
    relearned = max(relearning["steps"]) * relearning["batch"]
    job.storage.show(pictures * (times + 1) + relearned)
    return {
        "questions": pictures * times,
        "answer tokens": pictures * times * job.assume(LENGTHS[parse_split(split)[0]]),
        "answers weighed": pictures,
        "pictures relearned": relearned,
    }


MAKES: Mapping[str, Callable[[Estimate], Counts]] = {
    "weights/*": _fetching,
    "curation/drafts/*": _writing,
    "images/references.npz": lambda job: _drawn(
        job, "reference pictures", job.params["references_per_event"] * job.sizes.concepts["event"]
    ),
    "images/shards/*.parquet": _shards,
    "images/settled.parquet": _settling,
    "images/manifest.parquet": _publishing,
    "robustness/unseen/*.parquet": lambda job: _drawn(job, "unseen pictures", job.pictures * _attempts(job)),
    "dataset/real.jsonl": _reference_sets,
    "dataset/world.jsonl": _reference_sets,
    "dataset/replay.jsonl": _reference_sets,
    "features/*": _encoding,
    "robustness/unseen/*.safetensors": _encoding,
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
