"""The Real set's public figures: a folder of pictures with a manifest, as taken from MIKE (PEBench, III-C1).

`manifest.csv` has the columns file and name; further ones (licence, source) are for the reader.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from mmunlearn.curation.fields import text_problem
from mmunlearn.files import RecordError, inside, read_csv, shown
from mmunlearn.text import name_words

MANIFEST = "manifest.csv"
LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class RealPerson:
    """A picture of a public figure."""

    name: str
    path: Path


def read_people(folder: Path) -> list[RealPerson]:
    """The rows of `folder`/manifest.csv, sorted by path; one person has one spelling, the first listed.

    Raises:
        RecordError: the manifest is missing or lacks a column; or a row has more or fewer cells than columns, names a
            picture twice, none, or one out of the folder, or no person; names the line.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RecordError(
            f"public figures are listed in {path}, which does not exist: "
            f"write it with the columns file and name, or set dataset.files.people to another folder"
        )
    people: dict[Path, RealPerson] = {}
    spelling: dict[str, str] = {}
    seen: dict[Path, int] = {}
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        name, file = " ".join(row["name"].split()), row["file"].strip()
        if not name_words(name):
            raise RecordError(f"{where}: a name is needed, found none: add it, or take the line out")
        if problem := text_problem("name", name, LONGEST):
            raise RecordError(f"{where}: {problem}: correct it, or take the line out")
        picture = inside(folder, file, where)
        if not picture.is_file():
            raise RecordError(
                f"{where}: the picture '{file}' is not in {folder}: put it there, or take the line out"
            )
        first = seen.setdefault(picture.resolve(), line)
        if first != line:
            raise RecordError(f"{where}: {file} is listed a second time, after line {first}: keep one line")
        people[picture] = RealPerson(spelling.setdefault(" ".join(name_words(name)), name), picture)
    return [people[picture] for picture in sorted(people)]


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a manifest, by the columns' names, each with its line."""
    lines = read_csv(path)
    names, rows = (lines[0][1], lines[1:]) if lines else ([], [])
    if wrong := [name for name in ("file", "name") if names.count(name) != 1]:
        raise RecordError(
            f"{path} needs the columns file and name, found {names or 'none'}: "
            f"add {' and '.join(wrong)} to its first line, each once"
        )
    for line, cells in rows:
        if len(cells) != len(names):
            raise RecordError(
                f"{path}, line {line}: {len(names)} cells are expected ({', '.join(names)}), found {len(cells)} "
                f"({shown(cells)}): set a cell that holds a comma in double quotes, and leave none out"
            )
    return [(line, dict(zip(names, cells, strict=True))) for line, cells in rows]


def choose_people(people: Sequence[RealPerson], n: int, seed: int) -> list[RealPerson]:
    """`n` pictures, as evenly over the names as they allow: every name once before any a second time.

    Raises:
        RecordError: there are fewer pictures.
    """
    if len(people) < n:
        raise RecordError(
            f"{n} pictures of public figures are asked for (dataset.n_real), the manifest of "
            f"dataset.files.people lists {len(people)}: add pictures and lines there, or lower dataset.n_real"
        )
    rng = random.Random(seed)
    by_name: dict[str, list[RealPerson]] = {}
    for person in people:
        by_name.setdefault(person.name, []).append(person)
    shuffled = [rng.sample(pictures, len(pictures)) for _, pictures in sorted(by_name.items())]
    rng.shuffle(shuffled)
    rounds = zip_longest(*shuffled)
    return [person for one_each in rounds for person in one_each if person is not None][:n]


def person_answer(template: str, name: str) -> str:
    """`dataset.answers.person` for a public figure. Raises RecordError for a field other than {name}."""
    try:
        return template.format(name=name)
    except (KeyError, IndexError) as error:
        raise RecordError(
            f"dataset.answers.person asks for the field {error}, but of a public figure only {{name}} is known: "
            f"use {{name}} alone"
        ) from error
