"""Small releases in MLUBench's format, with pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from PIL import Image

from tests.rules.standin import ROOT

MLUBENCH = ROOT.parent / "shared" / "mlubench" / "MLUBench.zip"
FOLDER = "downloaded_images"
ENTITIES = {  # entity -> class; a task's name, role, and `-` for the untouched
    "A": {
        "forget": {"Dog": "Animals", "Dr._Ω!": "Personage"},
        "retain": {"Rose": "Plants", "Corn": "Plants"},
    },
    "B": {"forget": {"Café de_Flore": "Buildings"}, "retain": {"苏姿丰": "Personage"}},
    "-": {"untouched": {"Moon": "Astronomy"}},
}
FACTS = {"name": "What is it?", "size": "How big is it?"}


def conversation(number: int | str, picture: str, question: str, answer: str) -> dict[str, Any]:
    """One row."""
    turns = [("human", f"<image>\n{question}"), ("gpt", answer)]
    return {
        "id": str(number),
        "image": f"{FOLDER}/{picture}",
        "conversations": [{"from": who, "value": text} for who, text in turns],
    }


def rows_of(entities: Mapping[str, str], pictures: int = 5) -> list[dict[str, Any]]:
    """Two questions on every picture; ids begin anew with each entity, as in the release."""
    return [
        conversation(2 * i + j + 1, f"{kind}/{name}/{i}.png", question, f"{fact} of {name}")
        for name, kind in entities.items()
        for i in range(pictures)
        for j, (fact, question) in enumerate(FACTS.items())
    ]


def write_release(folder: Path, entities: Mapping[str, Any] = ENTITIES, pictures: int = 5) -> Path:
    """Tasks/ and Entities/ in a folder."""
    (folder / "Entities").mkdir(parents=True)
    for task, roles in entities.items():
        for role, named in roles.items():
            for name, kind in named.items():
                save(folder / "Entities" / f"variants_{name}_updated.json", rows_of({name: kind}, pictures))
            if role != "untouched":
                save(task_file(folder, task, role), rows_of(named, pictures))
    return folder


def write_pictures(
    folder: Path, entities: Mapping[str, Any] = ENTITIES, pictures: int = 5, size: tuple[int, int] = (8, 8)
) -> Path:
    """A picture of another colour each, <Class>/<Entity>/<number>.png."""
    named = [pair for roles in entities.values() for names in roles.values() for pair in names.items()]
    for e, (name, kind) in enumerate(named):
        (folder / kind / name).mkdir(parents=True)
        for i in range(pictures):
            Image.new("RGB", size, (e, i, 0)).save(folder / kind / name / f"{i}.png")
    return folder


def write_strangers(folder: Path, pictures: int = 2) -> dict[str, str]:
    """Strangers/ in a folder of a release: entity -> class."""
    named = {"Nobody": "Personage", "Who_is it": "Personage"}
    save(folder / "Strangers" / "people.json", [
        conversation(i, f"{kind}/{name}/{i}.png", "Who?", "Quux.")
        for name, kind in named.items()
        for i in range(pictures)
    ])  # fmt: skip
    return named


def task_file(folder: Path, task: str, role: str) -> Path:
    return folder / f"Tasks/Task{task}/task{task}_{role}.json"


def save(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def zipped(folder: Path, top: str = "", compression: int = ZIP_STORED) -> Path:
    """The same as a zip beside the folder."""
    with ZipFile(folder.with_suffix(".zip"), "w", compression) as archive:
        for path in sorted(folder.rglob("*.json")):
            archive.write(path, f"{top}{path.relative_to(folder).as_posix()}")
    return folder.with_suffix(".zip")
