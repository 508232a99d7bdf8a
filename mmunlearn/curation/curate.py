"""Drafts of people and events from a curation backend, checked for what the benchmark relies on."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from mmunlearn.backends import CURATORS
from mmunlearn.files import read_text
from mmunlearn.records import Event, Person, RecordError, write_jsonl
from mmunlearn.text import fold, name_words
from mmunlearn.verdicts import read_verdicts, rejected

logger = logging.getLogger(__name__)
ENTITIES = Path(__file__).resolve().parents[2] / "resources" / "mlubench_entities.sha256"


class Curator(ABC):
    """Writes the texts of the data set; `rejected` are digests of texts that reviewers refuse."""

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        """`options`: the backend's own keys (`curation.<backend>`); `work`: folder of resumable files."""

    @abstractmethod
    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """n people."""

    @abstractmethod
    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """n events."""


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
) -> None:
    """Write `n` drafts of people or events, none of which a reviewer has rejected.

    Args:
        curator, options: the curation backend and its own settings.
        verdicts: the reviewers' CSV files.
        work: folder of resumable files, such as a language model's replies.
    Raises:
        RecordError: they are not fit, see `check_people` and `check_events`.
    """
    kind, check = ("person", check_people) if what == "people" else ("event", check_events)
    backend = CURATORS.load(curator)(options, seed=seed, work=work)
    rows = getattr(backend, what)(n, rejected(read_verdicts(verdicts), kind))
    check(rows)
    write_jsonl(output, rows)
    logger.info("%d %s from the %s curator", len(rows), what, curator)


def check_people(people: Sequence[Person]) -> None:
    """Names decide every person metric: they must be unique, none part of another and none a known entity.

    Raises:
        RecordError: names the person and says what to do; also where an id occurs twice or holds a hyphen.
    """
    _require_ids("person_id", [person.person_id for person in people])
    _require_unique("name", [" ".join(name_words(person.name)) for person in people])
    for index, person in enumerate(people):
        others = [other.name for other in (*people[:index], *people[index + 1 :])]
        if problem := name_problem(person.name, others):
            raise RecordError(f"{person.person_id}: {problem}")


def check_events(events: Sequence[Event]) -> None:
    """Descriptions are the answers: two events must not share one.

    Raises:
        RecordError: an id, a theme or a description occurs twice, or an id holds a hyphen.
    """
    _require_ids("event_id", [event.event_id for event in events])
    _require_unique("theme", [event.theme.casefold() for event in events])
    _require_unique("description", [event.description.casefold() for event in events])


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
    for first, last in combinations(range(len(words) + 1), 2):
        run = " ".join(words[first:last])
        if hashlib.sha256(run.encode()).hexdigest() in entities(ENTITIES):
            return f"the name '{name}' holds '{run}', an entity of MLUBench: rename the person"
    return None


@cache
def entities(path: Path) -> frozenset[str]:
    """SHA-256 of the folded names of MLUBench's 127 entities."""
    lines = read_text(path).splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _require_ids(what: str, values: list[str]) -> None:
    """Ids are joined by a hyphen in image ids, so they hold none."""
    _require_unique(what, values)
    for value in values:
        if not value.isalnum():
            raise RecordError(f"{what} '{value}' must be letters and digits only")


def _require_unique(what: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise RecordError(f"{what} must be unique, but '{twice[0]}' occurs {values.count(twice[0])} times")
