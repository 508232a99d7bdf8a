"""The questions of the data set: one a kind on every valid picture."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from mmunlearn.ids import question_id
from mmunlearn.records import Event, Person, Question, read_jsonl, read_manifest, write_jsonl

logger = logging.getLogger(__name__)


def build_questions(
    output: Path,
    manifest: Path,
    people: Path,
    events: Path,
    *,
    questions: Mapping[str, str],
    answers: Mapping[str, str],
) -> None:
    """Write two questions a valid picture, in order of picture.

    Args:
        questions: kind -> text of the question.
        answers: kind -> template of the answer; a template sees every field of its person or event.
    """
    person_fields = {row.person_id: row.model_dump() for row in read_jsonl(people, Person)}
    event_fields = {row.event_id: row.model_dump() for row in read_jsonl(events, Event)}
    rows = [
        Question(
            question_id=question_id(picture.image_id, kind),
            image_id=picture.image_id,
            kind=kind,
            question=questions[kind],
            answer=answers[kind].format(**fields),
        )
        for picture in read_manifest(manifest)
        if picture.accepted
        for kind, fields in (
            ("person", person_fields[picture.person_id]),
            ("event", event_fields[picture.event_id]),
        )
    ]
    write_jsonl(output, rows)
    logger.info("%d questions on %d pictures", len(rows), len(rows) // 2)
