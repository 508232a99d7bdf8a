"""Which drafts of people and events go on: those that reviewers confirm (PEBench, section III-A, manual review)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmunlearn.records import Event, Person, read_jsonl, write_jsonl
from mmunlearn.verdicts import confirmed, read_verdicts, rejected, text_digest

SHOWN = 10
logger = logging.getLogger(__name__)


class ReviewPending(RuntimeError):
    """Texts await review, or were rejected; the message names them and says where to judge."""


def accept_texts(
    people_drafts: Path,
    events_drafts: Path,
    verdicts: Sequence[Path],
    people_out: Path,
    events_out: Path,
    *,
    reviewers: int,
) -> None:
    """Copy the drafts, provided that every one of them may go on.

    Args:
        verdicts: the reviewers' CSV files.
        people_out, events_out: `<results>/curation/people.jsonl` and `events.jsonl`.
        reviewers: people who must confirm a text; 0: a text goes on unless somebody rejects it.
    Raises:
        ReviewPending: a text is not confirmed by that many, or rejected by anyone.
        RecordError: a file is damaged.
    """
    said = read_verdicts(verdicts)
    people, events = read_jsonl(people_drafts, Person), read_jsonl(events_drafts, Event)
    waiting, refused = [], []
    for kind, rows in (("person", people), ("event", events)):
        bad, good = rejected(said, kind), confirmed(said, kind, reviewers)
        for row in rows:
            item, digest = row.person_id if kind == "person" else row.event_id, text_digest(row)
            if digest in bad:
                refused.append(item)
            elif reviewers and digest not in good:
                waiting.append(item)
    if waiting or refused:
        page = people_out.parents[1] / "review" / "texts.html"
        raise ReviewPending(_explain(waiting, refused, reviewers, len(people), len(events), page))
    write_jsonl(people_out, people)
    write_jsonl(events_out, events)
    how = f"each confirmed by {reviewers} or more" if reviewers else "none rejected"
    logger.info("%d people and %d events go on, %s", len(people), len(events), how)


def _explain(
    waiting: list[str], refused: list[str], reviewers: int, people: int, events: int, page: Path
) -> str:
    asked = f"confirmed by {reviewers} different reviewers" if reviewers else "that nobody has rejected"
    found = [
        f"{len(items)} {what} ({', '.join(items[:SHOWN])}{', ...' if len(items) > SHOWN else ''})"
        for items, what in ((waiting, "that await review"), (refused, "that somebody rejected"))
        if items
    ]
    return (
        f"Asked for {people} people and {events} events {asked}. Found {' and '.join(found)}. "
        f"Open {page} (`make review` makes it), judge the texts, save the CSV into the folder that review.verdicts "
        "names and run again. A language model is asked anew for a rejected text; a shipped one is replaced by the "
        "next of its file, so correct it there, add one, or ask for fewer, where all are in use."
    )
