"""Image prompts: one for every person at every event (PEBench, section III-A), or for every picture that is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmunlearn.files import listed
from mmunlearn.ids import image_id
from mmunlearn.records import Event, ListedPicture, Person, Prompt, RecordError, read_jsonl, write_jsonl

TEMPLATE = (
    "A photo of a {job} {age}-year-old {gender} from {birthplace}, named {name}, with {appearance}.: {event} "
    "Generate this photo with the Person ID: {person_id} and with file name IMG_6105.CR2."
)
logger = logging.getLogger(__name__)


def write_prompts(output: Path, people: Path, events: Path, *, pictures: Path | Sequence[Path] = ()) -> None:
    """Write people x events prompts, in order of image_id.

    Args:
        pictures: the list of pictures that are there, and are not drawn: then a prompt for each of these people and
            events. Empty: there is none.
    Raises:
        RecordError: there is no picture of somebody, or of an event.
    """
    persons, scenes = read_jsonl(people, Person), read_jsonl(events, Event)
    if pictures:
        rows = _listed(read_jsonl(pictures, ListedPicture), persons, scenes, pictures)
    else:
        rows = [make_prompt(person, event) for person in persons for event in scenes]
    write_jsonl(output, rows)
    logger.info("%d prompts", len(rows))


def _listed(
    pictures: Sequence[ListedPicture], people: Sequence[Person], events: Sequence[Event], path: Path
) -> list[Prompt]:
    """A prompt for each picture of these people at these events: its file, and the SHA-256 that it has."""
    missing = {one.person_id: one.name for one in people} | {one.event_id: one.theme for one in events}
    wanted = set(missing)
    rows = [one for one in pictures if {one.person_id, one.event_id} <= wanted]
    for one in rows:
        missing.pop(one.person_id, None)
        missing.pop(one.event_id, None)
    if missing:
        raise RecordError(
            f"Asked {path} for pictures of {len(people)} people at {len(events)} events. Found none of "
            f"{listed(list(missing.values()))} among these. Raise curation.n_people and "
            "n_events to take in all, or lower the other."
        )
    prompts = [
        Prompt(
            image_id=one.image_id,
            person_id=one.person_id,
            event_id=one.event_id,
            prompt=one.file,
            drawing={"file": one.file, "sha256": one.sha256},
        )
        for one in rows
    ]
    return sorted(prompts, key=lambda prompt: prompt.image_id)


def make_prompt(person: Person, event: Event) -> Prompt:
    """The paper's prompt for one picture; `drawing` carries what the pocket renderer needs, if anything."""
    look = person.appearance.rstrip(".")
    drawable = person.identity is not None and event.scene is not None
    return Prompt(
        image_id=image_id(person.person_id, event.event_id),
        person_id=person.person_id,
        event_id=event.event_id,
        prompt=TEMPLATE.format(**person.model_dump() | {"appearance": look, "event": event.description}),
        drawing={"identity": person.identity, "scene": event.scene} if drawable else None,
    )
