"""Pictures and answers for the page: small, inlined, and chosen by rule, never by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from mmunlearn.ids import FINETUNED, TARGETS, Run, concepts_of, kind_of, parse_recipe, split_id
from mmunlearn.pictures import open_picture
from mmunlearn.records import Answer, Candidate, Event, Person, RecordError, Split, read_jsonl, sha256_of
from mmunlearn.reporting.layout import method_order

THUMBNAIL = 128  # longest side, pixels
SCORES = {
    "identity": "identity_l2",
    "scene": "scene_cosine",
    "subject": "subject_cosine",
    "distortion": "distortion",
    "aesthetic": "aesthetic",
}
"""Filter -> the candidate's score that it measures."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pictures:
    """The data set's candidates, the folder of the accepted ones, and who and what is on them."""

    people: Mapping[str, Person]
    events: Mapping[str, Event]
    candidates: Sequence[Candidate]
    folder: Path

    def path(self, image_id: str) -> Path:
        """Where the accepted picture of a cell lies. Raises RecordError where another one lies there."""
        path = self.folder / f"{image_id}.png"
        sums = [
            one.sha256
            for one in self.candidates
            if one.image_id == image_id and Path(one.path).name == path.name
        ]
        return as_listed(path, sums, self.folder / "manifest.parquet")

    def caption(self, image_id: str) -> str:
        """Name and theme of a cell."""
        person, event = concepts_of(image_id)
        return f"{self.people[person].name}, {self.events[event].theme}"


def as_listed(path: Path, sums: Sequence[str], manifest: Path) -> Path:
    """A picture's path. Raises RecordError where another one lies there than one of these SHA-256."""
    if path.exists() and sums and sha256_of(path) not in sums:
        again = f"{manifest} -- {manifest}" if path.parent == manifest.parent else "draw_shard"
        raise RecordError(
            f"Asked for a picture as listed in {manifest}. Found another in {path}. Put an intact copy there, or run "
            f"the same command with `--forcerun {again}` and then as before."
        )
    return path


def data_uri(path: Path, size: int = THUMBNAIL) -> str:
    """A picture as an inlined JPEG of at most `size` pixels a side; empty where there is no file."""
    if not path.exists():
        return ""
    small = open_picture(path)
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


def sample_grid(pictures: Pictures, people: int, events: int) -> dict[str, Any]:
    """Accepted pictures of evenly spaced people (rows) and events (columns); a cell without one is empty."""
    accepted = {(one.person_id, one.event_id): one.image_id for one in pictures.candidates if one.accepted}
    columns = spread(sorted({one.event_id for one in pictures.candidates}), events)
    rows = []
    for person in spread(sorted({one.person_id for one in pictures.candidates}), people):
        ids = [accepted.get((person, event)) for event in columns]
        cells = [image_id and {"uri": data_uri(pictures.path(image_id)), "id": image_id} for image_id in ids]
        rows.append({"name": pictures.people[person].name, "cells": cells})
    return {"themes": [pictures.events[event].theme for event in columns], "rows": rows}


def rejected_samples(pictures: Pictures, count: int) -> list[dict[str, Any]]:
    """Refused candidates: of every reason one in turn, so that rare reasons are seen too."""
    by_reason: dict[str, list[Candidate]] = {}
    for one in pictures.candidates:
        if not one.accepted and one.reject_reason not in ("", "surplus"):
            by_reason.setdefault(one.reject_reason, []).append(one)
    turns = zip_longest(*(group for _, group in sorted(by_reason.items())))
    queue = [one for turn in turns for one in turn if one is not None]
    return [
        {
            "uri": data_uri(as_listed(Path(one.path), [one.sha256], pictures.folder / "manifest.parquet")),
            "reason": one.reject_reason,
            "caption": f"{pictures.caption(one.image_id)}, attempt {one.attempt}",
            "scores": _scores(one),
        }
        for one in queue[:count]
    ]


def _scores(one: Candidate) -> list[tuple[str, str]]:
    scores = {name: getattr(one, field) for name, field in SCORES.items()}
    return [(name, "none" if value is None else f"{value:.4g}") for name, value in scores.items()]


def answer_examples(
    answers: Iterable[Path],
    splits: Iterable[Split],
    pictures: Pictures,
    labels: Mapping[str, str],
    forget: int = 2,
    retain: int = 1,
) -> dict[str, Any]:
    """What finetuned, unlearned and goal models say to the same questions on the same pictures.

    Of the first model by name, each recipe with its lowest seed. For each target the split with the smallest percent
    supplies the pictures: `forget` of the unlearning's test half, of different forgotten concepts where there are any,
    and `retain` others, sharing the forgotten picture's event (or person) where possible.

    Args:
        labels: method -> its name in tables.

    Returns:
        {model, cards}; a card is one picture, see `_card`.
    """
    by_run = {Run.of(path): path for path in answers}
    model = min((run.model for run in by_run), default="")
    files = {run.recipe: by_run[run] for run in sorted(by_run, reverse=True) if run.model == model}
    smallest: dict[str, Split] = {}
    for split in sorted(splits, key=lambda one: (TARGETS.index(one.target), one.percent)):
        smallest.setdefault(split.target, split)
    cards = []
    for split in smallest.values():
        by_label = _answers_to(split, files, labels)
        if by_label:
            images = _forgotten(split, forget)
            roles = dict.fromkeys(images, "forget") | dict.fromkeys(_retained(split, images, retain), "keep")
            cards += [_card(image_id, role, split, by_label, pictures) for image_id, role in roles.items()]
    return {"model": model, "cards": cards}


def _answers_to(
    split: Split, files: Mapping[str, Path], labels: Mapping[str, str]
) -> dict[str, dict[str, Answer]]:
    """Label -> question id -> answer, of the finetuned model and of those that forget the split."""
    name = split_id(split.target, split.percent)
    recipes = {
        labels[parse_recipe(recipe).method]: path
        for recipe, path in files.items()
        if recipe == FINETUNED or parse_recipe(recipe).split == name
    }
    return {
        label: {one.question_id: one for one in read_jsonl(recipes[label], Answer)}
        for label in sorted(recipes, key=method_order)
    }


def _forgotten(split: Split, count: int) -> list[str]:
    """Pictures of the test half, the first one of each concept before further ones."""
    side = TARGETS.index(split.target)
    first_of = {concepts_of(image_id)[side]: image_id for image_id in reversed(split.forget_test)}
    firsts = [image_id for _, image_id in sorted(first_of.items())]
    return list(dict.fromkeys([*firsts, *split.forget_test]))[:count]


def _retained(split: Split, forgotten: Sequence[str], count: int) -> list[str]:
    """Pictures to retain, those first that share what is not forgotten of a forgotten picture."""
    other = 1 - TARGETS.index(split.target)
    shared = {concepts_of(image_id)[other] for image_id in forgotten}
    return sorted(split.retain, key=lambda image_id: (concepts_of(image_id)[other] not in shared, image_id))[
        :count
    ]


def _card(
    image_id: str, role: str, split: Split, by_label: Mapping[str, Mapping[str, Answer]], pictures: Pictures
) -> dict[str, Any]:
    """A picture with its questions (each to `forget` or to `keep`) and what every recipe answers to them.

    `rows` is one a recipe: {label, answers: [(text or None, same as the reference)]} in the order of the questions.
    """
    first = next(iter(by_label.values()))
    questions = [one for one in first.values() if one.image_id == image_id]
    rows = []
    for label, answers in by_label.items():
        texts = [answers[one.question_id].answer if one.question_id in answers else None for one in questions]
        same = [
            bool(text) and text.split() == one.reference.split()
            for text, one in zip(texts, questions, strict=True)
        ]
        rows.append({"label": label, "answers": list(zip(texts, same, strict=True))})
    fates = [
        "forget" if (role, kind_of(one.question_id)) == ("forget", split.target) else "keep"
        for one in questions
    ]
    return {
        "title": pictures.caption(image_id),
        "image_id": image_id,
        "role": role,
        "target": split.target,
        "percent": split.percent,
        "uri": data_uri(pictures.path(image_id), 2 * THUMBNAIL),
        "questions": [one.question for one in questions],
        "fates": fates,
        "references": [one.reference for one in questions],
        "rows": rows,
    }
