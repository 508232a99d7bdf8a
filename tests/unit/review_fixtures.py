"""A small made-up run for the tests of review: people, events, pictures and their manifest."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.records import Candidate, Event, Person, sha256_of, write_jsonl, write_manifest
from tests.unit import rows

NAMES = ("Mira Okafor", "Tomas Lindqvist", "Aiko Brennan")
THEMES = ("Sailing regatta", "Winter market", "Rooftop concert")


def person(number: int, **changes: Any) -> Person:
    return rows.person(number, **{"name": NAMES[number]} | changes)


def event(number: int, **changes: Any) -> Event:
    theme = THEMES[number]
    return rows.event(number, **{"theme": theme, "description": f"A {theme.lower()}."} | changes)


def candidate(folder: Path, image_id: str, attempt: int = 0, reason: str = "", size: int = 48) -> Candidate:
    """A row of the manifest whose picture lies in the folder; accepted where the reason is empty."""
    path = folder / "pictures" / f"{image_id}-{attempt}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = sum(map(ord, f"{image_id}{attempt}"))
    Image.new("RGB", (size, size), (mark * 37 % 256, mark * 91 % 256, attempt * 20)).save(path)
    return rows.candidate(image_id, attempt, reason, path=str(path), sha256=sha256_of(path))


def write_world(folder: Path, *candidates: Candidate, people: int = 3, **changes: Any) -> dict[str, Path]:
    """Write people, events and manifest (all cells accepted, unless candidates are given); their paths by name.

    Args:
        changes: fields of the first person.
    """
    cells = (f"p{p:03d}-e{e:02d}" for p in range(people) for e in range(3))
    write_manifest(folder / "manifest.parquet", candidates or [candidate(folder, cell) for cell in cells])
    write_jsonl(folder / "people.jsonl", [person(0, **changes), *(person(n) for n in range(1, people))])
    write_jsonl(folder / "events.jsonl", [event(n) for n in range(3)])
    return {name: next(folder.glob(f"{name}.*")) for name in ("manifest", "people", "events")}


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
