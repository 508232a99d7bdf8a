"""People and events from a curation backend, checked for what the benchmark relies on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmunlearn.backends import backend
from mmunlearn.records import Event, Person, RecordError, write_jsonl
from mmunlearn.text import fold

logger = logging.getLogger(__name__)


def curate_people(output: Path, *, curator: str, people: str, events: str, n: int) -> None:
    """Write `n` people.

    Raises:
        RecordError: a name or an id occurs twice, or a name is part of another.
    """
    rows = backend("curator", curator)(people, events).people(n)
    check_people(rows)
    write_jsonl(output, rows)
    logger.info("%d people from the %s curator", len(rows), curator)


def curate_events(output: Path, *, curator: str, people: str, events: str, n: int) -> None:
    """Write `n` events. Raises RecordError where an id, a theme or a description occurs twice."""
    rows = backend("curator", curator)(people, events).events(n)
    check_events(rows)
    write_jsonl(output, rows)
    logger.info("%d events from the %s curator", len(rows), curator)


def check_people(people: Sequence[Person]) -> None:
    """Names decide every person metric: they must be unique and none may be part of another."""
    _require_unique("person_id", [person.person_id for person in people])
    _require_plain("person_id", [person.person_id for person in people])
    names = [fold(person.name) for person in people]
    _require_unique("name", names)
    for name in names:
        containing = [other for other in names if name in other and other != name]
        if containing:
            raise RecordError(f"the name '{name}' is part of '{containing[0]}': rename one of the two")


def check_events(events: Sequence[Event]) -> None:
    """Descriptions are the answers: two events must not share one."""
    _require_unique("event_id", [event.event_id for event in events])
    _require_plain("event_id", [event.event_id for event in events])
    _require_unique("theme", [event.theme.casefold() for event in events])
    _require_unique("description", [event.description.casefold() for event in events])


def _require_plain(what: str, values: list[str]) -> None:
    """Ids are joined by a hyphen in image ids, so they hold none."""
    wrong = [value for value in values if not value.isalnum()]
    if wrong:
        raise RecordError(f"{what} '{wrong[0]}' must be letters and digits only")


def _require_unique(what: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise RecordError(f"{what} must be unique, but '{twice[0]}' occurs {values.count(twice[0])} times")
