"""Which drafts of people and events go on: those that reviewers confirm (PEBench, section III-A, manual review)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmunlearn.records import Event, Person, RecordError, read_jsonl, write_jsonl
from mmunlearn.verdicts import confirmed, read_verdicts, rejected, text_digest

NAMED = 10  # texts in a message
logger = logging.getLogger(__name__)


class ReviewPending(RuntimeError):
    """Texts await review, or were rejected; the message names them and says where to judge."""


def accept_texts(
    people_drafts: Path,
    events_drafts: Path,
    people: Path,
    events: Path,
    *,
    verdicts: Sequence[Path],
    reviewers: int,
) -> None:
    """Copy the drafts, provided that every one of them may go on.

    Args:
        people, events: to be written: `<results>/curation/people.jsonl` and `events.jsonl`.
        verdicts: the reviewers' CSV files.
        reviewers: people who must confirm a text; 0: a text goes on unless somebody rejects it.
    Raises:
        ReviewPending: a text is not confirmed by that many, or rejected by anyone.
        RecordError: a file is damaged, or a person and an event have the same id.
    """
    judged = read_verdicts(verdicts)
    texts = {"person": read_jsonl(people_drafts, Person), "event": read_jsonl(events_drafts, Event)}
    both = {row.person_id for row in texts["person"]} & {row.event_id for row in texts["event"]}
    if both:
        raise RecordError(
            f"Asked {people_drafts} and {events_drafts} for ids of their own. Found {', '.join(sorted(both))} in both. "
            "Give the events other ids, such as e00."
        )
    counts = f"{len(texts['person'])} people and {len(texts['event'])} events"
    waiting: list[str] = []
    refused: list[str] = []
    for kind, rows in texts.items():
        bad, good = rejected(judged, kind), confirmed(judged, kind, reviewers)
        for row in rows:
            item, digest = getattr(row, f"{kind}_id"), text_digest(row)
            if digest in bad:
                refused.append(item)
            elif reviewers and digest not in good:
                waiting.append(item)
    if waiting or refused:
        page = people.parents[1] / "review" / "texts.html"
        raise ReviewPending(_explain(counts, waiting, refused, reviewers, page))
    write_jsonl(people, texts["person"])
    write_jsonl(events, texts["event"])
    how = f"each confirmed by {reviewers} or more" if reviewers else "none rejected"
    logger.info("%s go on, %s", counts, how)


def _explain(counts: str, waiting: list[str], refused: list[str], reviewers: int, page: Path) -> str:
    condition = f"confirmed by {reviewers} different reviewers" if reviewers else "that nobody has rejected"
    problems = [
        f"{len(items)} {what} ({', '.join(items[:NAMED])}{', ...' if len(items) > NAMED else ''})"
        for items, what in ((waiting, "that await review"), (refused, "that somebody rejected"))
        if items
    ]
    return (
        f"Asked for {counts} {condition}. Found {' and '.join(problems)}. "
        f"Open {page} (`make review` makes it), judge the texts, save the CSV into the folder that review.verdicts "
        "names and run again. A language model is asked anew for a rejected text; a shipped one is replaced by the "
        "next of its file, so correct it there, add one, or ask for fewer, where all are in use."
    )
