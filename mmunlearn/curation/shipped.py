"""Curation backend `shipped`: people and events from versioned files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmunlearn.curation.curate import Curator
from mmunlearn.records import Event, Person, RecordError, read_jsonl
from mmunlearn.verdicts import text_digest


class ShippedCurator(Curator):
    """Takes the first n people and events of two JSON-lines files that no reviewer has rejected.

    Args:
        options: `people` and `events`, the paths of the files; each is read where it is asked for.
        seed, work: not used: nothing is drawn or cached.
    """

    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        self._options = options

    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """The first `n` people whose digest is not in `rejected`. Raises RecordError where fewer are left."""
        return _first(n, Path(self._options["people"]), Person, rejected, "people")

    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """The first `n` events, likewise."""
        return _first(n, Path(self._options["events"]), Event, rejected, "events")


def _first(n: int, path: Path, kind: type, rejected: Collection[str], what: str) -> list:
    rows = read_jsonl(path, kind)
    left = [row for row in rows if text_digest(row) not in rejected]
    if len(left) < n:
        without = f", {len(left)} without those that reviewers rejected" if len(left) < len(rows) else ""
        raise RecordError(
            f"{n} {what} are asked for, {path} holds {len(rows)}{without}: lower curation.n_{what} or add some"
        )
    return left[:n]
