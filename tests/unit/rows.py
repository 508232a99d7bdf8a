"""Rows of a made-up data set for unit tests; keyword arguments change single fields."""

from __future__ import annotations

from typing import Any

from mmunlearn import ids
from mmunlearn.records import Candidate, Event, Person


def person(number: int, **changes: Any) -> Person:
    fields = {
        "name": f"Name {number}",
        "age": 30 + number,
        "gender": "woman",
        "job": "baker",
        "birthplace": "Oslo",
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
