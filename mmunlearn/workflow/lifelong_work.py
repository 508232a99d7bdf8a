"""What the lifelong phase's jobs have to do, for the plan: counts of questions, steps and ratings, by stage.

How many questions a task has is read from what the run has made (the model's selection, the data's statistics), before
that from the released files, and follows from the configuration where a backend draws them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import ceil, inf
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mmunlearn.backends import TASK_SETS
from mmunlearn.lifelong.drift_rows import measured_after
from mmunlearn.lifelong.released import STRANGER_PICTURES, read_released
from mmunlearn.tasks import RUBRICS, order_id, so_far
from mmunlearn.training.methods import METHODS
from mmunlearn.training.schedule import steps_of
from mmunlearn.workflow.storage import Storage

UNTOUCHED, STRANGERS = ("", "untouched"), ("", "stranger")
RATING_TOKENS = ("rating_prompt_tokens", "judge_reply_tokens")
"""Assumptions: tokens of a rating's prompt and reply."""


class Job(Protocol):
    """What is read of `work.Estimate`, which says what each means."""

    planned: Any
    sizes: Any
    params: Mapping[str, Any]
    files: list[Path]
    storage: Storage

    def assume(self, name: str) -> float: ...
    def unknown(self, reason: str) -> Counts: ...
    def outputs(self, pattern: str) -> list[Path]: ...
    def judged(self, cases: float, distinct: float, tokens: Sequence[str]) -> Counts: ...


class SetSize(NamedTuple):
    """Questions that models are trained on and that they are asked, and pictures, of one role of a task."""

    trained: int
    asked: int
    pictures: int


Counts = Mapping[str, float]
Sets = Mapping[tuple[str, str], SetSize]
"""(task, role) -> its size; of untouched entities and strangers the task is empty."""


def task_sets(job: Job) -> Sets:
    """The sets that a job works on.

    Raises:
        ValueError, OSError: the released files cannot be read.
    """
    config = job.sizes.config
    home, model = Path("results", config["scale"], "lifelong"), job.planned.wildcards.get("model", "")
    for path in (home / model / "selection.json", home / "statistics.json"):
        if path.is_file():
            return _counted(path.read_bytes())
    own = config["lifelong"]
    if own["data"] in TASK_SETS:
        return _drawn(own, job.assume("task_questions"))
    return _released(own["files"]["tasks"], tuple(own["tasks"]), own["test_share"], own["questions"])


@cache
def _counted(text: bytes) -> Sets:
    """As a file says that the run has made."""
    found: dict[tuple[str, str], SetSize] = {}
    for row in json.loads(text)["sets"]:
        key, size = (row["task"], row["role"]), SetSize(row["trained"], row["asked"], row["pictures"])
        found[key] = SetSize(*map(sum, zip(found.get(key, SetSize(0, 0, 0)), size, strict=True)))
    return found


def _drawn(own: Mapping[str, Any], questions: float) -> Sets:
    """As the backend draws them."""
    drawn = own[own["data"]]
    entities = TASK_SETS.load(own["data"]).entities(drawn, own["tasks"])
    pictures = {key: count * drawn["pictures"] for key, count in entities.items()}
    sets = {
        key: _parted(key, round(count * questions), count, own["test_share"], own["questions"])
        for key, count in pictures.items()
    }
    return sets | {STRANGERS: SetSize(0, 0, drawn["strangers"] * STRANGER_PICTURES)}


@cache
def _released(source: str, tasks: tuple[str, ...], share: float | None, most: int | None) -> Sets:
    """As the released files say, as if every picture were there."""
    released = read_released(Path(source), tasks)
    rows = {(task, role): part for task, roles in released.tasks.items() for role, part in roles.items()}
    rows[UNTOUCHED] = released.others
    sets = {
        key: _parted(key, len(part), len({one.image_id for one in part}), share, most)
        for key, part in rows.items()
    }
    return sets | {STRANGERS: SetSize(0, 0, len({one.image_id for one in released.strangers}))}


def _parted(
    key: tuple[str, str], questions: int, pictures: int, share: float | None, most: int | None
) -> SetSize:
    """Questions and pictures of a set, some of which are for training and some for testing."""
    if key == UNTOUCHED:
        return SetSize(0, _least(most, questions), pictures)
    asked = questions if share is None else ceil(questions * share)
    return SetSize(questions if share is None else questions - asked, _least(most, asked), pictures)


def _least(most: int | None, count: int) -> int:
    return count if most is None else min(most, count)


def counted(count: Callable[[Job, Sets], Counts]) -> Callable[[Job], Counts]:
    """A way to count work that says so where the tasks cannot be read."""

    def counts(job: Job) -> Counts:
        try:
            return count(job, task_sets(job))
        except (ValueError, OSError) as error:
            return job.unknown(f"the released tasks cannot be read ({error})"[:120])

    return counts


@counted
def encoding(job: Job, sets: Sets) -> Counts:
    """Every picture once."""
    pictures = sum(one.pictures for one in sets.values())
    job.storage.keep_features(pictures, job.files)
    return {"pictures encoded": pictures}


@counted
def answering_before(job: Job, sets: Sets) -> Counts:
    """All questions, where those that the base answers are wanted."""
    own = job.sizes.config["lifelong"]
    held = own["known_only"] and own["test_share"] is not None
    job.storage.show(sum(one.pictures if held else _pictures(job, sets, key) for key, one in sets.items()))
    return _answers(job, sum(one.asked + held * one.trained for one in sets.values()))


@counted
def training(job: Job, sets: Sets) -> Counts:
    """Steps of every stage or expert."""
    params, steps, shown, longest = job.params, 0.0, 0.0, 0.0
    batch = params["loop"]["batch"] * params["loop"]["accumulation"]
    passes = METHODS[params.get("method_name", "po")].passes
    for path in job.files:
        questions = sets[path.parent.name, "forget"].trained
        epochs = steps_of(params["epochs"], questions, batch) if params["epochs"] else inf
        of_task = min(params["max_steps"], epochs) * (job.assume("steps_share") if params["stop"] else 1)
        steps += of_task
        longest = max(longest, of_task)
        shown += of_task * min(batch, questions) * passes
        job.storage.show(of_task * min(batch, questions) * int(passes))
    job.storage.keep_adapters(len(job.files), longest, job.outputs("lifelong/*/adapter_model.safetensors"))
    return {"optimizer steps": steps, "pictures shown": shown}


@counted
def answering(job: Job, sets: Sets) -> Counts:
    """The questions of the tasks up to each stage, and the untouched ones."""
    asked = [_asked(job, sets, path.parent.name) for path in job.files]
    job.storage.show(sum(_pictures(job, sets, key) for keys in asked for key in keys))
    return _answers(job, sum(sum(keys.values()) for keys in asked))


@counted
def asking_gate(job: Job, sets: Sets) -> Counts:
    """Two turns on every picture that models are asked about, or each question for a name; or its features."""
    settings = job.params["settings"]
    pictures = sum(_pictures(job, sets, key) for key in sets)
    if "asks" not in settings:
        return {"pictures encoded": pictures if settings.get("encoder") else 0}
    turns = len(set(settings["name_questions"].values())) if settings["first"] == "name" else 2
    if settings["asks"] == "openai":
        return job.unknown(f"{turns * pictures:,} calls of the vision model's endpoint at most, by its price")
    job.storage.show(turns * pictures)
    return _answers(job, turns * pictures)


def _pictures(job: Job, sets: Sets, key: tuple[str, str]) -> int:
    """Pictures of a set that models are asked about."""
    share = 1 if key in (UNTOUCHED, STRANGERS) else job.sizes.config["lifelong"]["test_share"]
    return ceil(sets[key].pictures * (1 if share is None else share))


@counted
def measuring_drift(job: Job, sets: Sets) -> Counts:
    """A sample of every set, before the first task and after each on the tasks so far, or by each one's expert."""
    own = job.sizes.config["lifelong"]
    sampled: Counter[str] = Counter()
    for (task, _), one in sets.items():
        sampled[task] += _least(own["drift"]["questions"], one.asked)
    order, experts = _order(job), job.planned.wildcards["method"] in own["lumoe"]
    after = [tasks for stage, tasks in measured_after(order, experts) if stage]
    questions = sum(sampled[task] for tasks in (order, *after) for task in tasks)
    job.storage.show(questions)  # at most: several may be on a picture
    return {"questions": questions}


@counted
def rating(job: Job, sets: Sets) -> Counts:
    """The answers of a rubric's roles after each stage.

    Equal answers are asked for once. How many are equal nobody can tell, but for the base's, which no task changes, and
    for those of experts, which stay as they were trained, whichever tasks follow: theirs count once.
    """
    cases: Counter[tuple[str, str]] = Counter()
    for path in job.files:
        of_stage = _asked(job, sets, path.parent.name)
        cases.update({key: n for key, n in of_stage.items() if key[1] in RUBRICS[path.stem]})
    row = job.sizes.config["lifelong"]["lumoe"].get(job.planned.wildcards["method"])
    once = row is not None and row["gate"] != "last"
    distinct = sum(sets[key].asked for key in cases) if once else cases.total()
    return job.judged(cases.total(), distinct, RATING_TOKENS)


def _asked(job: Job, sets: Sets, stage: str) -> dict[tuple[str, str], int]:
    tasks = so_far(_order(job), stage)
    keys = [*((task, role) for task in tasks for role in ("forget", "retain")), UNTOUCHED]
    return {key: sets[key].asked for key in keys if key in sets}


def _order(job: Job) -> Sequence[str]:
    own = job.sizes.config["lifelong"]
    orders = {order_id(order): order for order in own["orders"] or [own["tasks"]]}
    return orders[job.planned.wildcards["order"]]


def _answers(job: Job, questions: float) -> Counts:
    return {"questions": questions, "answer tokens": questions * job.assume("task_tokens")}
