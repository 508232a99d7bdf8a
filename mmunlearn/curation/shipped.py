"""Curation backend `shipped`: people and events from versioned files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmunlearn.curation.curate import Curator
from mmunlearn.files import shown
from mmunlearn.records import Event, Person, RecordError, RowsError, read_rows
from mmunlearn.verdicts import text_digest


class ShippedCurator(Curator):
    """Takes the first n people and events of two JSON-lines files that no reviewer has rejected.

    Args:
        options: `people` and `events`, the paths of the files; each is read where it is asked for.
        seed, work: not used: nothing is drawn or cached.
    """

    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        self._options = options
        self._places: dict[str, str] = {}

    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """The first `n` people whose digest is not in `rejected`. Raises RecordError where fewer are left."""
        return self._first(n, Person, rejected, "people")

    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """The first `n` events, likewise."""
        return self._first(n, Event, rejected, "events")

    def place(self, row: Person | Event) -> str:
        """Its file, line, id and name or theme."""
        return self._places.get(_key(row), super().place(row))

    def _first(self, n: int, kind: type, rejected: Collection[str], what: str) -> list:
        path = Path(self._options[what])
        try:
            lines, broken = read_rows(path, kind), None
        except RowsError as error:
            lines, broken = error.rows, error
        for line, row in lines.items():
            self._places[_key(row)] = f"{path}, line {line} ({_key(row)})"
        if broken is not None:
            raise broken
        rows = list(lines.values())
        left = [row for row in rows if text_digest(row) not in rejected]
        if len(left) < n:
            without = f", {len(left)} without those that reviewers rejected" if len(left) < len(rows) else ""
            raise RecordError(
                f"{n} {what} are asked for, {path} holds {len(rows)}{without}: lower curation.n_{what} or add some"
            )
        return left[:n]


def _key(row: Person | Event) -> str:
    parts = (row.person_id, row.name) if isinstance(row, Person) else (row.event_id, row.theme)
    return ", ".join(map(shown, parts))
