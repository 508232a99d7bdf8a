"""Rows and names of the lifelong benchmark: tasks are forgotten one after another.

    task       a name of letters and digits, e.g. A
    order      a permutation of the tasks: ABCD, or task1-task2 where a name is longer than a letter
    sequence   <model>/<method>/<order>/seed-<n>: the folder of one method's models after each task, of their answers
               and of their scores

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from mmunlearn.ids import IdError
from mmunlearn.records import Record

TASK = r"[A-Za-z0-9]+"
ORDER = rf"{TASK}(-{TASK})*"
METHOD = r"[a-z0-9+]+(-[a-z0-9+]+)*"
Role = Literal["forget", "retain", "untouched", "stranger"]
RUBRICS: Mapping[str, tuple[Role, ...]] = {"rejection": ("forget",), "correctness": ("retain", "untouched")}
"""Rubric -> roles of the questions whose answers it rates. Strangers are asked nothing."""


class TaskQuestion(Record):
    """A question of a task, or on an entity that no task names, and its picture.

    Attributes:
        question_id: task, role and the row's number in its released file, where ids come more than once: `A-forget-17`;
            `untouched-3` is the third of all files of entities that no task names, `stranger-3` of strangers' files.
        image_id: `<Class>/<Entity>/<file>`, as released.
        task: empty where the entity is untouched, or a stranger, whose pictures gates alone are shown.
        part: whether the picture is for training or for testing; `both` as released, where nothing is held out.
    """

    key = ("question_id",)
    kind: ClassVar[str] = "task"

    question_id: str
    image_id: str
    task: str
    role: Role
    part: Literal["train", "test", "both"]
    entity_class: str
    entity: str
    question: str
    answer: str
    path: str
    sha256: str

    @property
    def trained(self) -> bool:
        """Whether models are trained on it."""
        return self.part != "test" and self.task != ""

    @property
    def asked(self) -> bool:
        """Whether models are scored on it."""
        return self.part != "train" and self.role != "stranger"

    @property
    def shown(self) -> bool:
        """Whether gates look at its picture: of all that is asked, and of strangers."""
        return self.asked or self.role == "stranger"


def entity_of(row: TaskQuestion) -> str:
    """The entity of a question, over which intervals are; names are unique within a class."""
    return f"{row.entity_class}/{row.entity}"


class TaskSequence(NamedTuple):
    """One method's models over an order of tasks."""

    model: str
    method: str
    order: str
    seed: int

    @property
    def folder(self) -> str:
        """Where its files lie, below `lifelong/`."""
        return f"{self.model}/{self.method}/{self.order}/seed-{self.seed}"

    @classmethod
    def of(cls, path: str | Path) -> TaskSequence:
        """The sequence that a file belongs to. Raises IdError where its path names none."""
        parts = Path(path).parts
        for place in range(len(parts) - 1, 2, -1):
            if re.fullmatch("seed-[0-9]+", parts[place]):
                return cls(*parts[place - 3 : place], int(parts[place].removeprefix("seed-")))
        raise IdError(
            f"{path} belongs to no sequence: expected <model>/<method>/<order>/seed-<n> in its path"
        )


def order_id(tasks: Sequence[str]) -> str:
    """The name of an order of tasks."""
    return ("" if all(len(task) == 1 for task in tasks) else "-").join(tasks)


def so_far(tasks: Iterable[str], stage: str) -> list[str]:
    """The tasks up to and with a stage. Raises ValueError where it is none of them."""
    names = list(tasks)
    if stage not in names:
        raise ValueError(f"stage {stage} is asked for, but the order has the tasks {', '.join(names)}")
    return names[: names.index(stage) + 1]


def asked_after(questions: Iterable[TaskQuestion], tasks: Iterable[str], stage: str) -> list[TaskQuestion]:
    """The questions that are asked after a stage: on the tasks up to it, and on the untouched entities."""
    return [row for row in shown_after(questions, tasks, stage) if row.asked]


def shown_after(questions: Iterable[TaskQuestion], tasks: Iterable[str], stage: str) -> list[TaskQuestion]:
    """Likewise the questions whose picture a gate is shown: these, and those on strangers."""
    names = {"", *so_far(tasks, stage)}
    return [row for row in questions if row.shown and row.task in names]
