"""Image prompts: one for every person at every event (PEBench, section III-A)."""

from __future__ import annotations

import logging
from pathlib import Path

from mmunlearn.ids import image_id
from mmunlearn.records import Event, Person, Prompt, read_jsonl, write_jsonl

TEMPLATE = (
    "A photo of a {job} {age}-year-old {gender} from {birthplace}, named {name}, with {appearance}.: {event} "
    "Generate this photo with the Person ID: {person_id} and with file name IMG_6105.CR2."
)
logger = logging.getLogger(__name__)


def write_prompts(output: Path, people: Path, events: Path) -> None:
    """Write people x events prompts, in order of image_id."""
    scenes = read_jsonl(events, Event)
    rows = [make_prompt(person, event) for person in read_jsonl(people, Person) for event in scenes]
    write_jsonl(output, rows)
    logger.info("%d prompts", len(rows))


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
