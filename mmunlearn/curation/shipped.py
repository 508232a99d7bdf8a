"""Curation backend `shipped`: people and events from versioned files."""

from __future__ import annotations

from pathlib import Path

from mmunlearn.records import Event, Person, RecordError, read_jsonl


class ShippedCurator:
    """Takes the first n people and events of two JSON-lines files."""

    def __init__(self, people: str | Path, events: str | Path) -> None:
        self._people, self._events = Path(people), Path(events)

    def people(self, n: int) -> list[Person]:
        """The first `n` people. Raises RecordError where the file holds fewer."""
        return _first(read_jsonl(self._people, Person), n, self._people, "people")

    def events(self, n: int) -> list[Event]:
        """The first `n` events. Raises RecordError where the file holds fewer."""
        return _first(read_jsonl(self._events, Event), n, self._events, "events")


def _first(rows: list, n: int, path: Path, what: str) -> list:
    if len(rows) < n:
        raise RecordError(f"{n} {what} are asked for, {path} holds {len(rows)}: lower curation.n_{what}")
    return rows[:n]
