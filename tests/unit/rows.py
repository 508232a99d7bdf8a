"""Rows of a made-up data set and verdicts on them; keyword arguments change single fields."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn import ids
from mmunlearn.records import Candidate, Event, Person
from mmunlearn.verdicts import COLUMNS, text_digest


def person(number: int, **changes: Any) -> Person:
    fields = {
        "name": f"Name {number}",
        "age": 30 + number,
        "gender": "Female",
        "job": "baker",
        "birthplace": "Oslo, Norway",
    }
    return Person(
        person_id=ids.person_id(number), **{**fields, "appearance": "Red hair and a scar."} | changes
    )


def event(number: int, **changes: Any) -> Event:
    fields = {"theme": f"theme {number}", "description": f"Scene {number}."}
    return Event(event_id=ids.event_id(number), **fields | changes)


def candidate(image_id: str, attempt: int = 0, reason: str = "", **changes: Any) -> Candidate:
    """A candidate of a picture; accepted where the reason is empty."""
    person_id, event_id = ids.concepts_of(image_id)
    fields: dict[str, Any] = {
        "image_id": image_id, "person_id": person_id, "event_id": event_id, "attempt": attempt, "seed": attempt,
        "guidance_scale": 3.5, "prompt": f"A photo of {image_id}.", "path": "x.png", "sha256": "0" * 64,
        "generator": "pocket-1", "identity_l2": 0.5, "scene_cosine": 0.8, "subject_cosine": 0.9, "distortion": 71.5,
        "aesthetic": 6.75, "accepted": not reason, "reject_reason": reason, "faces": 1, "scene_pair": None,
    }  # fmt: skip
    return Candidate(**fields | changes)


def verdict(row: Person | Event, decision: str = "reject", reviewer: str = "Kim") -> dict[str, str]:
    """A verdict on a text."""
    kind, item = ("person", row.person_id) if isinstance(row, Person) else ("event", row.event_id)
    return {"kind": kind, "item": item, "digest": text_digest(row), "verdict": decision, "reviewer": reviewer,
            "time": "2026-01-01T10:00:00Z", "note": ""}  # fmt: skip


def save_verdicts(path: Path, *verdicts: Mapping[str, str]) -> Path:
    """Write verdicts as a page does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(verdicts)
    return path
