"""Tasks on made-up pictures, and what training in sequence takes, for the tests of the lifelong benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmunlearn.ids import Run
from mmunlearn.lifelong.stages import StageRun, first_adapter, stage_run, unlearn_tasks
from mmunlearn.models.feature_file import write_features
from mmunlearn.records import Training, read_json, write_jsonl
from mmunlearn.tasks import TaskQuestion, TaskSequence
from tests.tiny import random_features, write_checkpoint
from tests.unit.training_fixtures import LOOP, REFUSALS

TASKS = ("A", "B", "C", "D")
ASKED = ("What is in the picture?", "What kind of thing is it?")
FILES = (
    "training.json",
    "steps.jsonl",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
)


def task_questions() -> list[TaskQuestion]:
    """Of every task three pictures to forget and two to retain, the last of each for testing, and two untouched."""
    rows = []
    places = [
        (task, role, n)
        for task in TASKS
        for role, count in (("forget", 3), ("retain", 3))
        for n in range(count)
    ]
    for task, role, n in [*places, ("", "untouched", 0), ("", "untouched", 1)]:
        entity = f"{role} {task}".strip()
        image = f"things/{entity}/{n}.png"
        for number, question in enumerate(ASKED):
            rows.append(
                TaskQuestion(
                    question_id=f"{task or 'untouched'}-{role}-{2 * n + number}", image_id=image, task=task, role=role,
                    part="test" if n == 2 or not task else "train", entity_class="things", entity=entity,
                    question=question, answer=f"Sailors of {entity}, {number}.", path=image, sha256="0" * 64,
                )
            )  # fmt: skip
    return rows


def make_tasks(folder: Path) -> Path:
    """A folder with all that training in sequence reads."""
    write_checkpoint(folder / "tiny")
    rows = task_questions()
    write_jsonl(folder / "questions.jsonl", rows)
    (folder / "refusals.txt").write_text("\n".join(REFUSALS), encoding="utf-8")
    images = list(dict.fromkeys(row.image_id for row in rows))
    write_features(folder / "features.safetensors", random_features(images).items(), images)
    return folder


def settings(inputs: Path, work: Path, **changes: Any) -> dict[str, Any]:
    """What `stage_run` takes of any method; `changes` are of it or of the loop."""
    loop = LOOP | {key: changes.pop(key) for key in LOOP.keys() & changes.keys()}
    del loop["learning_rate"]
    return {
        "spec": {"family": "llava", "source": str(inputs / "tiny"), "dtype": "float32"},
        "features": inputs / "features.safetensors", "questions": inputs / "questions.jsonl",
        "refusals": inputs / "refusals.txt", "loop": loop, "work": work, "version": 1, "save_steps": 1,
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}, "lora_targets": None, "method_code": "1", "max_steps": 3,
    } | changes  # fmt: skip


def stage(inputs: Path, work: Path, method: str = "ga", task: str = "A", **changes: Any) -> StageRun:
    """One stage, by default the first of a sequence."""
    run, fields = Run("tiny", method, 1), settings(inputs, work, **changes)
    first = first_adapter(run, fields, "test")
    others = {"start": first, "reference": first, "apart": "test", "method_name": method, "options": {}}
    return stage_run(run, [task], LOOP["learning_rate"], **others | fields)


def unlearn(
    inputs: Path, work: Path, output: Path, order: str = "ABCD", method: str = "ga", **changes: Any
) -> dict[str, Training]:
    """Train a sequence; training.json by task. `changes`: of its settings; `rates` of single tasks."""
    outputs = {task: output / task / "training.json" for task in sorted(order)}
    rates = dict.fromkeys(order, LOOP["learning_rate"]) | changes.pop("rates", {})
    fields = {"reference_model": "first", "method_name": method, "options": {}}
    unlearn_tasks(
        {"trainings": list(outputs.values())},
        TaskSequence("tiny", method, order, 1),
        order=list(order),
        rates=rates,
        **fields | settings(inputs, work, **changes),
    )
    return {task: read_json(path, Training) for task, path in outputs.items()}


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a stage, or of a sequence, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
