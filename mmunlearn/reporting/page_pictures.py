"""Pictures and answers for the page: small, inlined, and chosen by rule, never by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from mmunlearn.ids import FINETUNED, Run, parse_recipe, split_id
from mmunlearn.records import Answer, Candidate, Event, Person, Split, read_jsonl
from mmunlearn.reporting.layout import TARGETS, method_order, recipe_method

THUMBNAIL = 128  # longest side, pixels
Item = TypeVar("Item")
Voice = tuple[str, dict[str, dict[str, Answer]]]  # label, then image_id -> question_id -> answer


@dataclass(frozen=True)
class World:
    """The people, events and candidates that pictures and answers refer to."""

    people: dict[str, Person]
    events: dict[str, Event]
    candidates: list[Candidate]
    images_dir: Path

    def picture(self, image_id: str) -> Path:
        """Where the accepted picture of a cell lies."""
        return self.images_dir / f"{image_id}.png"

    def caption(self, image_id: str) -> str:
        """Name and theme of a cell; the id of a cell that the manifest does not know."""
        for one in self.candidates:
            if one.image_id == image_id:
                return f"{self.people[one.person_id].name}, {self.events[one.event_id].theme}"
        return image_id


def data_uri(path: Path, size: int = THUMBNAIL) -> str:
    """A picture as an inlined JPEG of at most `size` pixels a side; empty where the file is not kept."""
    if not path.exists():
        return ""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=86, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_uri(path: Path) -> str:
    """A PNG file inlined as it is."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spaced, the first always among them."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def sample_grid(world: World, people: int, events: int) -> dict[str, Any]:
    """Accepted pictures of evenly spaced people (rows) and events (columns); a cell without one is empty."""
    accepted = {(one.person_id, one.event_id): one.image_id for one in world.candidates if one.accepted}
    columns = spread(sorted({one.event_id for one in world.candidates}), events)
    rows = []
    for person in spread(sorted({one.person_id for one in world.candidates}), people):
        ids = [accepted.get((person, event)) for event in columns]
        cells = [image_id and {"uri": data_uri(world.picture(image_id)), "id": image_id} for image_id in ids]
        rows.append({"name": world.people[person].name, "cells": cells})
    return {"themes": [world.events[event].theme for event in columns], "rows": rows}


def rejected_samples(world: World, count: int) -> list[dict[str, Any]]:
    """Refused candidates: of every reason one in turn, so that rare reasons are seen too."""
    by_reason: dict[str, list[Candidate]] = {}
    for one in world.candidates:
        if not one.accepted and one.reject_reason not in ("", "surplus"):
            by_reason.setdefault(one.reject_reason, []).append(one)
    longest = max(map(len, by_reason.values()), default=0)
    queue = [
        group[turn] for turn in range(longest) for _, group in sorted(by_reason.items()) if turn < len(group)
    ]
    return [
        {
            "uri": data_uri(Path(one.path)),
            "reason": one.reject_reason,
            "caption": f"{world.caption(one.image_id)}, attempt {one.attempt}",
            "scores": _scores(one),
        }
        for one in queue[:count]
    ]


def _scores(one: Candidate) -> list[tuple[str, str]]:
    names = {
        "identity_l2": "identity",
        "scene_cosine": "scene",
        "subject_cosine": "subject",
        "distortion": "distortion",
        "aesthetic": "aesthetic",
    }
    values = ((name, getattr(one, field)) for field, name in names.items())
    return [(name, "none" if value is None else f"{value:.4g}") for name, value in values]


def answer_examples(
    answers: Iterable[Path], splits: Iterable[Split], world: World, forget: int = 2, retain: int = 1
) -> dict[str, Any]:
    """What finetuned, unlearned and goal models say to the same questions on the same pictures.

    The first model by name speaks, each recipe with its lowest seed. For each target the split with the
    smallest percent supplies the pictures: `forget` of the unlearning's test half, of different forgotten
    concepts where there are any, and `retain` others, sharing the forgotten picture's event (or person)
    where possible.

    Returns:
        {model, cards}; a card is one picture, see `_card`.
    """
    spoken: dict[str, dict[str, dict[int, Path]]] = {}
    for path in answers:
        run = Run.of(path)
        spoken.setdefault(run.model, {}).setdefault(run.recipe, {})[run.seed] = path
    if not spoken:
        return {"model": "", "cards": []}
    model = min(spoken)
    cards = []
    everything = list(splits)
    for target in TARGETS:
        mine = [split for split in everything if split.target == target]
        if mine:
            cards += _cards_of(
                min(mine, key=lambda split: split.percent), spoken[model], world, forget, retain
            )
    return {"model": model, "cards": cards}


def _cards_of(
    split: Split, recipes: dict[str, dict[int, Path]], world: World, forget: int, retain: int
) -> list[dict[str, Any]]:
    forgotten = split_id(split.target, split.percent)
    chosen = [name for name in recipes if name == FINETUNED or parse_recipe(name).split == forgotten]
    voices: list[Voice] = []
    for recipe in sorted(chosen, key=lambda name: method_order(recipe_method(name))):
        seed = min(recipes[recipe])
        voices.append((recipe_method(recipe), _by_picture(recipes[recipe][seed])))
    if not voices:
        return []
    forgotten, kept = _pictures_of(split, world, forget, retain)
    roles = [(image_id, "forget") for image_id in forgotten] + [(image_id, "keep") for image_id in kept]
    return [_card(image_id, role, split, voices, world) for image_id, role in roles]


def _pictures_of(split: Split, world: World, forget: int, retain: int) -> tuple[list[str], list[str]]:
    cell = {one.image_id: (one.person_id, one.event_id) for one in world.candidates}
    side = TARGETS.index(split.target)
    first_of_concept = {cell[image_id][side]: image_id for image_id in reversed(split.forget_test)}
    firsts = [first_of_concept[concept] for concept in sorted(first_of_concept)]
    forgotten = [*firsts, *(image_id for image_id in split.forget_test if image_id not in firsts)][:forget]
    others = {cell[image_id][1 - side] for image_id in forgotten}
    kept = sorted(split.retain, key=lambda image_id: (cell[image_id][1 - side] not in others, image_id))
    return forgotten, kept[:retain]


def _by_picture(path: Path) -> dict[str, dict[str, Answer]]:
    """image_id -> question_id -> answer."""
    found: dict[str, dict[str, Answer]] = {}
    for one in read_jsonl(path, Answer):
        found.setdefault(one.image_id, {})[one.question_id] = one
    return found


def _card(image_id: str, role: str, split: Split, voices: list[Voice], world: World) -> dict[str, Any]:
    """A picture with its questions (each to `forget` or to `keep`) and what every recipe answers to them.

    `rows` is one a recipe: {label, answers: [(text or None, same as the reference)]} in the order asked.
    """
    asked = list(voices[0][1].get(image_id, {}).values())
    person = next(one.person_id for one in world.candidates if one.image_id == image_id)
    kinds = ["person" if world.people[person].name in one.reference else "event" for one in asked]
    rows = []
    for label, by_picture in voices:
        said = by_picture.get(image_id, {})
        texts = [said[one.question_id].answer if one.question_id in said else None for one in asked]
        same = [
            bool(text) and text.split() == one.reference.split()
            for text, one in zip(texts, asked, strict=True)
        ]
        rows.append({"label": label, "answers": list(zip(texts, same, strict=True))})
    return {
        "title": world.caption(image_id),
        "image_id": image_id,
        "role": role,
        "target": split.target,
        "percent": split.percent,
        "uri": data_uri(world.picture(image_id), 2 * THUMBNAIL),
        "questions": [one.question for one in asked],
        "fates": ["forget" if (role, kind) == ("forget", split.target) else "keep" for kind in kinds],
        "references": [one.reference for one in asked],
        "rows": rows,
    }
