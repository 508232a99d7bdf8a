"""Drafts of people and events from a curation backend, checked for what the benchmark relies on."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmunlearn.backends import CURATORS, DRAWINGS
from mmunlearn.curation import fields
from mmunlearn.curation.entities import entity_in
from mmunlearn.files import listed, shown
from mmunlearn.records import Event, Person, RecordError, RowsError, write_jsonl
from mmunlearn.text import fold, name_words
from mmunlearn.verdicts import read_verdicts, rejected

logger = logging.getLogger(__name__)


class Curator(ABC):
    """Writes the texts of the data set; `rejected` are digests of texts that reviewers refuse. `checks`: whether these
    have to be fit to be drawn, see `check_people` and `check_events`."""

    checks = True

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        """`options`: the backend's own keys (`curation.<backend>`); `work`: folder of resumable files."""

    @abstractmethod
    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """n people."""

    @abstractmethod
    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """n events."""

    def place(self, row: Person | Event) -> str:
        """Where a message finds a row."""
        return _id(row)


def curate(
    output: Path,
    *,
    what: Literal["people", "events"],
    curator: str,
    options: Mapping[str, Any],
    n: int,
    seed: int,
    verdicts: Sequence[Path],
    work: Path,
    generator: str | None = None,
) -> None:
    """Write `n` drafts of people or events, none of which a reviewer has rejected.

    Args:
        curator, options: the curation backend and its own settings.
        verdicts: the reviewers' CSV files.
        work: folder of resumable files, such as a language model's replies.
        generator: what will draw them; `backends.DRAWINGS` says which `identity` and `scene` it can. None, or one that
            is not there: neither is looked at.
    Raises:
        RecordError: they are not fit, see `check_people` and `check_events`; names all that is wrong with any.
    """
    kind = "person" if what == "people" else "event"
    backend, broken = CURATORS.load(curator)(options, seed=seed, work=work), []
    try:
        rows = getattr(backend, what)(n, rejected(read_verdicts(verdicts), kind))
    except RowsError as error:
        rows, broken = list(error.rows.values()), error.problems
    drawing = DRAWINGS.load(generator)() if generator in DRAWINGS else fields.Drawings()
    if backend.checks:
        _refuse(what, [*broken, *_problems(rows, backend.place, drawing)])
    write_jsonl(output, rows)
    logger.info("%d %s from the %s curator", len(rows), what, curator)


def check_people(people: Sequence[Person]) -> None:
    """Names decide every person metric: they must be unique, none part of another and none a known entity.

    Raises:
        RecordError: names every such person and says what to do; also where a field holds what it may not (see
            `fields`) or an id occurs twice.
    """
    _refuse("people", _problems(people))


def check_events(events: Sequence[Event]) -> None:
    """Descriptions are the answers: two events must not share one.

    Raises:
        RecordError: an id, a theme or a description occurs twice, or a field holds what it may not (see `fields`).
    """
    _refuse("events", _problems(events))


Row = Person | Event


def _id(row: Row) -> str:
    return row.person_id if isinstance(row, Person) else row.event_id


def _problems(
    rows: Sequence[Row], place: Callable[[Row], str] = _id, drawing: fields.Drawings | None = None
) -> list[str]:
    """What is wrong with rows, each by itself and beside the others. `drawing`: what the generator cannot draw."""
    found: list[str] = []
    names = [row.name for row in rows if isinstance(row, Person)]
    for index, row in enumerate(rows):
        of_row = fields.problems(row)
        if drawing is not None and (problem := drawing.problem(row)):
            of_row.append(problem)
        if isinstance(row, Person) and (
            problem := name_problem(row.name, names[:index] + names[index + 1 :])
        ):
            of_row.append(problem)
        found += [f"{place(row)}: {problem}" for problem in of_row]
    if rows and isinstance(rows[0], Person):
        found += _twice("person_id", [row.person_id.casefold() for row in rows])
        return found + _twice("name", [" ".join(name_words(name)) for name in names])
    found += _twice("event_id", [row.event_id.casefold() for row in rows])
    return (
        found
        + _twice("theme", [fold(row.theme) for row in rows])
        + _twice("description", [fold(row.description) for row in rows])
    )


def _twice(what: str, values: Sequence[str]) -> list[str]:
    return [
        f"{what} must be unique, but {shown(value)} occurs {count} times"
        for value, count in Counter(values).items()
        if count > 1
    ]


def _refuse(what: str, problems: list[str]) -> None:
    if problems:
        raise RecordError(
            f"Asked for {what} that can be drawn and asked after. Found {listed(problems)}. Correct them there; "
            f"docs/people_and_events.md lists all fields and what they may hold."
        )


def name_problem(name: str, others: Sequence[str]) -> str | None:
    """What is wrong with a name beside the `others`, and what to do; None where nothing is.

    Compared as `text.name_words` makes them equal. A name needs two words, must not be one of the others, part of one
    or contain one, and neither it nor any run of its words may be an entity of MLUBench, whose questions the
    same models answer.
    """
    folded, words = " ".join(name_words(name)), fold(name).split()
    if len(words) < 2:
        return f"the name '{name}' must have two words or more: give a first name and a family name"
    for other in others:
        taken = " ".join(name_words(other))
        if folded == taken:
            return f"the name '{name}' must be unique, but another person has it: rename one of the two"
        if folded in taken:
            return f"the name '{name}' is part of '{other}': rename one of the two"
        if taken and taken in folded:
            return f"the name '{other}' is part of '{name}': rename one of the two"
    if entity := entity_in(name):
        return f"the name '{name}' holds '{entity}', an entity of MLUBench: rename the person"
    return None
