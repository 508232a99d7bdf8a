"""A small made-up run for the tests of review: people, events, pictures and their manifest."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.records import Candidate, Event, Person, sha256_of, write_jsonl, write_manifest
from mmunlearn.verdicts import COLUMNS

NAMES = ("Mira Okafor", "Tomas Lindqvist", "Aiko Brennan")
THEMES = ("Sailing regatta", "Winter market", "Rooftop concert")


def person(number: int, **changed: Any) -> Person:
    values = {"person_id": f"p{number:03d}", "name": NAMES[number], "age": 30 + number, "gender": "woman",
              "job": "baker", "birthplace": "Oslo", "appearance": "Red hair and a scar."}  # fmt: skip
    return Person(**(values | changed))


def event(number: int, **changed: Any) -> Event:
    theme = THEMES[number]
    return Event(
        **({"event_id": f"e{number:02d}", "theme": theme, "description": f"A {theme.lower()}."} | changed)
    )


def candidate(folder: Path, image_id: str, attempt: int = 0, reason: str = "", size: int = 48) -> Candidate:
    """A row of the manifest with its own picture; accepted where the reason is empty."""
    path = folder / "pictures" / f"{image_id}-{attempt}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = sum(map(ord, f"{image_id}{attempt}"))
    Image.new("RGB", (size, size), (mark * 37 % 256, mark * 91 % 256, attempt * 20)).save(path)
    return Candidate(
        image_id=image_id, person_id=image_id[:4], event_id=image_id[5:], attempt=attempt, seed=attempt,
        guidance_scale=3.5, prompt="a picture", path=str(path), sha256=sha256_of(path), generator="pocket",
        identity_l2=0.3, scene_cosine=0.7, subject_cosine=0.9, distortion=71.5, aesthetic=6.8,
        accepted=not reason, reject_reason=reason, faces=1, scene_pair=None,
    )  # fmt: skip


def write_world(folder: Path, *rows: Candidate, people: int = 3, **changed: Any) -> dict[str, Path]:
    """Write people, events and manifest (all cells accepted, unless rows are given); their paths by name.

    Args:
        changed: fields of the first person.
    """
    rows = rows or tuple(candidate(folder, f"p{p:03d}-e{e:02d}") for p in range(people) for e in range(3))
    write_manifest(folder / "manifest.parquet", rows)
    write_jsonl(folder / "people.jsonl", [person(0, **changed), *(person(n) for n in range(1, people))])
    write_jsonl(folder / "events.jsonl", [event(n) for n in range(3)])
    return {name: next(folder.glob(f"{name}.*")) for name in ("manifest", "people", "events")}


def save_verdicts(path: Path, *rows: Mapping[str, str]) -> Path:
    """Write verdict rows as a page does."""
    with path.open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path


class Page(HTMLParser):
    """What a browser sees in a page: tags with their attributes, scripts, and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def items(self) -> list[dict[str, str | None]]:
        return [attrs for attrs in self.all("li") if attrs.get("class") == "item"]
