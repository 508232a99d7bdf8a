"""Small copies of the collections that the backend `files` reads, for its tests."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmunlearn.dataset import files
from mmunlearn.dataset.reference_sets import build_reference_set
from mmunlearn.ids import event_id
from mmunlearn.records import POPE_SUBSETS, Event, SuiteQuestion, read_jsonl, write_jsonl

QUESTIONS = {"person": "Who is this?", "event": "What is happening?"}
ANSWERS = {"person": "This is {name}.", "event": "{description}"}
COLOURS = {"red": (250, 5, 5), "green": (5, 250, 5), "blue": (5, 5, 250)}
COCO = [f"COCO_val2014_{number:012d}.jpg" for number in (9, 42, 7, 300)]


class ColourClip:
    """A CLIP whose features of a picture are its mean colour, and of a text the colour that it names."""

    embedded = 0

    def embed_texts(self, texts):
        return np.array([COLOURS[text.split()[1]] for text in texts], np.float32)

    def embed_images(self, images):
        type(self).embedded += len(images)
        return np.array([np.asarray(image, np.float32).mean((0, 1)) for image in images]) + 1.0


def encoded(colour, size=(8, 8), form="PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, tuple(colour)).save(stream, form)
    return stream.getvalue()


def shade(name: str, other: int) -> tuple[int, ...]:
    """A colour near to `name`; the larger `other`, the farther."""
    return tuple(max(part, other) if part < 100 else part for part in COLOURS[name])


def store(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_manifest(folder: Path, rows, columns=("file", "name", "licence")) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([columns, *rows])


def pope_lines(subset: str, images=COCO) -> list[str]:
    rows = [
        {
            "question_id": 6 * i + k + 1,
            "image": image,
            "text": f"Is there a {subset} thing {k} in the image?",
            "label": "yes" if k % 2 == 0 else "no",
        }
        for i, image in enumerate(images)
        for k in range(6)
    ]
    return [json.dumps(row) for row in rows]


def write_collection(folder: Path) -> Path:
    """All folders of `dataset.files`: 4 pictures of 3 figures, 9 of events, POPE on 4 pictures, 3 events."""
    people = folder / "people"
    listed = [("a/1.jpg", "Ada Lund"), ("2.png", "Bo Reyes"), ("3.png", "ada  LUND"), ("4.png", "Cy Ode")]
    for i, (name, _) in enumerate(listed):
        form = "JPEG" if name.endswith("jpg") else "PNG"
        store(people / name, encoded((i, 40 * i, 90), (60, 30), form))
    write_manifest(people, [(*row, "CC0") for row in listed])
    for name in COLOURS:
        for i in range(3):
            store(folder / "events" / f"{i}-{name}.png", encoded(shade(name, 20 * i + 5)))
    (folder / "events" / "0-red.txt").write_text(" A red\n thing. ")
    for subset in POPE_SUBSETS:
        store(folder / "pope" / f"coco_pope_{subset}.json", ("\n".join(pope_lines(subset)) + "\n").encode())
    for i, image in enumerate(COCO):
        store(folder / "coco" / image, encoded((i, i, i), (64, 48), "JPEG"))
    store(folder / "clip" / "weights", b"weights")
    events = [
        Event(event_id=event_id(i), theme="t", description=f"A {name} event.")
        for i, name in enumerate(COLOURS)
    ]
    write_jsonl(folder / "events.jsonl", events)
    return folder


def options(folder: Path) -> dict:
    paths = {key: str(folder / key) for key in ("people", "events", "clip", "pope", "coco")}
    return paths | {"real_reference": "description", "quick_gelu": True, "device": "cpu"}


def sets(folder: Path, answers=ANSWERS, **changed):
    return files.FileReferenceSets(
        options(folder) | changed,
        questions=QUESTIONS,
        answers=answers,
        size=40,
        events=folder / "events.jsonl",
        work=folder / "work",
    )


def build(folder: Path, name: str, n: int) -> list[SuiteQuestion]:
    output = folder / "results" / f"{name}.jsonl"
    build_reference_set(
        output, folder / "events.jsonl", name=name, source="files", options=options(folder), device="cpu", n=n, seed=1,
        questions=QUESTIONS, answers=ANSWERS, size=40, work=folder / "work",
    )  # fmt: skip
    return read_jsonl(output, SuiteQuestion)


def sources(pictures: Any) -> dict[str, str]:
    return {row["image_id"]: row["source"] for row in pictures.tables["retrieval.csv"]}
