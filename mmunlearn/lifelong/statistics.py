"""What tasks hold, counted by task, role and class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmunlearn.records import Count, Record
from mmunlearn.tasks import Role, TaskQuestion

RELEASE = {"entities": 127, "classes": 9, "questions": 15_414, "pictures": 2_453}
"""What the release of 11 May 2025 holds."""
PAPER = RELEASE | {"pictures": 5_105}
"""What the paper says that it does."""
RELEASED_TASKS = {"A": (2442, 1680), "B": (2154, 1374), "C": (2580, 1800), "D": (2250, 1134)}
"""Questions to forget and to retain."""


class SetCounts(Record):
    """One class in one role of a task; of untouched entities and of strangers the task is empty.

    What is used, and `of_...` how many there were to use. `trained` and `asked` are questions, `trained_pictures` and
    `asked_pictures` what they are on; before parts are drawn, every question is both.
    """

    key = ("task", "role", "entity_class")

    task: str
    role: Role
    entity_class: str
    entities: Count
    of_entities: Count
    questions: Count
    of_questions: Count
    pictures: Count
    of_pictures: Count
    trained: Count
    of_trained: Count
    asked: Count
    of_asked: Count
    trained_pictures: Count
    asked_pictures: Count


class TaskStatistics(Record):
    """lifelong/statistics.json.

    Attributes:
        released: whether the counts are those of MLUBench's release.
        differences: from the release, where the entities are MLUBench's, a line each.
        found: entities, classes, questions and pictures that the files name.
        paper: the same as the paper says, where the entities are MLUBench's.
        used: the same of the questions that are trained on or asked.
        missing_pictures: how many of the named pictures the folder lacks; `missing_first` are some of them.
        without_pictures: <Class>/<Entity> of those that lack all.
        sets: by task, role and class.
    """

    released: bool
    differences: list[str]
    found: dict[str, Count]
    paper: dict[str, Count]
    used: dict[str, Count]
    missing_pictures: Count
    missing_first: list[str]
    without_pictures: list[str]
    sets: list[SetCounts]


class Selection(Record):
    """lifelong/<model>/selection.json: the questions that the base answers, `of` how many, and by set."""

    known_only: bool
    of: Count
    questions: Count
    sets: list[SetCounts]


def count_sets(every: Iterable[TaskQuestion], used: Iterable[TaskQuestion]) -> list[SetCounts]:
    """The sets of `every` question, in their order, and what of them is used."""
    groups: dict[tuple[str, str, str], list[TaskQuestion]] = {}
    for row in every:
        groups.setdefault(_set(row), []).append(row)
    taken: dict[tuple[str, str, str], list[TaskQuestion]] = {key: [] for key in groups}
    for row in used:
        taken[_set(row)].append(row)
    return [_counts(key, rows, taken[key]) for key, rows in groups.items()]


def _set(row: TaskQuestion) -> tuple[str, str, str]:
    return row.task, row.role, row.entity_class


def _counts(
    key: tuple[str, str, str], every: Sequence[TaskQuestion], used: Sequence[TaskQuestion]
) -> SetCounts:
    trained, asked = [row for row in used if row.trained], [row for row in used if row.asked]
    return SetCounts(
        task=key[0],
        role=key[1],
        entity_class=key[2],
        entities=len({row.entity for row in used}),
        of_entities=len({row.entity for row in every}),
        questions=len(used),
        of_questions=len(every),
        pictures=_pictures(used),
        of_pictures=_pictures(every),
        trained=len(trained),
        of_trained=sum(row.trained for row in every),
        asked=len(asked),
        of_asked=sum(row.asked for row in every),
        trained_pictures=_pictures(trained),
        asked_pictures=_pictures(asked),
    )


def _pictures(rows: Iterable[TaskQuestion]) -> int:
    return len({row.image_id for row in rows})
