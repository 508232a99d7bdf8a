"""Curation backend `files`: the people and events of pictures that are there already."""

from __future__ import annotations

import logging
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmunlearn.curation.curate import Curator
from mmunlearn.curation.fields import LONGEST
from mmunlearn.records import Event, ListedPicture, Person, RecordError, read_jsonl
from mmunlearn.text import fold
from mmunlearn.verdicts import text_digest

logger = logging.getLogger(__name__)


class ListedCurator(Curator):
    """Takes the first n people and events of the list of pictures that no reviewer has rejected. Which texts may stand
    there was decided when it was made (`picture_list`); of people the name alone is known.

    Args:
        options: `pictures`, the path of the list.
        seed, work: not used: nothing is drawn or cached.
    """

    checks = False

    def __init__(self, options: Mapping[str, Any], *, seed: int, work: Path) -> None:
        self._path = Path(options["pictures"])

    def people(self, n: int, rejected: Collection[str]) -> list[Person]:
        """The first `n` people whose digest is not in `rejected`. Raises RecordError where fewer are left."""
        names = {one.person_id: one.person for one in self._pictures()}
        return self._first(n, [Person(person_id=key, name=name) for key, name in names.items()], rejected)

    def events(self, n: int, rejected: Collection[str]) -> list[Event]:
        """The first `n` events, likewise. Its description is the answer of all its pictures where that is one and no
        other event has it, else what the list calls the event."""
        labels: dict[str, str] = {}
        answers: dict[str, set[str]] = {}
        for one in self._pictures():
            labels[one.event_id] = one.event
            answers.setdefault(one.event_id, set()).update(
                answer.answer for answer in one.answers if answer.kind == "event"
            )
        said = {key: min(of) if len(of) == 1 and labels[key] else labels[key] for key, of in answers.items()}
        times = Counter(fold(text) for text in said.values())
        longest = LONGEST["event"]["theme"]
        rows = [
            Event(
                event_id=key,
                theme=textwrap.shorten(label, longest, placeholder=" ..."),
                description=said[key] if times[fold(said[key])] == 1 else label,
            )
            for key, label in labels.items()
        ]
        return self._first(n, rows, rejected)

    def _pictures(self) -> list[ListedPicture]:
        return read_jsonl(self._path, ListedPicture)

    def _first(self, n: int, rows: list, rejected: Collection[str]) -> list:
        left = [row for row in rows if text_digest(row) not in rejected]
        what = "people" if isinstance(rows[0], Person) else "events"
        if len(left) < n:
            without = f", {len(left)} without those that reviewers rejected" if len(left) < len(rows) else ""
            raise RecordError(
                f"Asked the pictures of images.files for {n} {what}. Found {len(rows)}{without}; "
                f"{self._path.with_suffix('.json')} says what was left out. Set curation.n_{what} to {len(left)} or "
                "less, or add pictures."
            )
        if len(left) > n:
            logger.warning("%d of the %d %s are used (curation.n_%s)", n, len(left), what, what)
        return left[:n]
