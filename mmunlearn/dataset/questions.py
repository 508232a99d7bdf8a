"""The questions of the data set: one a kind on every valid picture, where the answer is known."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.ids import question_id
from mmunlearn.records import Event, ListedPicture, Person, Question, read_jsonl, read_manifest, write_jsonl

logger = logging.getLogger(__name__)


def build_questions(
    output: Path,
    manifest: Path,
    people: Path,
    events: Path,
    *,
    questions: Mapping[str, str],
    answers: Mapping[str, str],
    pictures: Path | Sequence[Path] = (),
) -> None:
    """Write a question a kind and valid picture, in order of picture: without a name, or an event's description, only
    what a list of pictures answers.

    Args:
        questions: kind -> text of the question.
        answers: kind -> template of the answer; a template sees every field of its person or event.
        pictures: the list of pictures that are there, and were not drawn, whose own answers go before; empty: none.
    """
    people_rows = {row.person_id: row for row in read_jsonl(people, Person)}
    event_rows = {row.event_id: row for row in read_jsonl(events, Event)}
    own = {
        (one.image_id, answer.kind): answer
        for one in (read_jsonl(pictures, ListedPicture) if pictures else ())
        for answer in one.answers
    }
    rows = []
    for picture in read_manifest(manifest):
        person, event = people_rows[picture.person_id], event_rows[picture.event_id]
        for kind, row, known in (("person", person, person.name), ("event", event, event.description)):
            listed = own.get((picture.image_id, kind))
            if not picture.accepted or not (listed or known):
                continue
            rows.append(
                Question(
                    question_id=question_id(picture.image_id, kind),
                    image_id=picture.image_id,
                    kind=kind,
                    question=(listed and listed.question) or questions[kind],
                    answer=listed.answer if listed else answers[kind].format(**row.model_dump()),
                )
            )
    write_jsonl(output, rows)
    logger.info("%d questions on %d pictures", len(rows), len({row.image_id for row in rows}))
