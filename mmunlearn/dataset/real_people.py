"""The Real set's public figures: a folder of pictures with a manifest, as taken from MIKE (PEBench, III-C1).

`manifest.csv` has the columns file and name; further ones (licence, source) are for the reader.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from mmunlearn.records import RecordError
from mmunlearn.text import name_words

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class RealPerson:
    """A picture of a public figure."""

    name: str
    path: Path


def read_people(folder: Path) -> list[RealPerson]:
    """The rows of `folder`/manifest.csv, sorted by path; one person has one spelling, the first listed.

    Raises:
        RecordError: the manifest is missing, lacks a column, names a picture twice, no picture or no person;
            names the line.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RecordError(
            f"public figures are listed in {path}, which does not exist: "
            f"write it with the columns file and name, or set dataset.files.people to another folder"
        )
    people: dict[Path, RealPerson] = {}
    spelling: dict[str, str] = {}
    for line, row in _rows(path):
        name, picture = " ".join((row["name"] or "").split()), folder / (row["file"] or "").strip()
        if not name_words(name):
            raise RecordError(f"{path}, line {line}: a name is needed, found none: add it or remove the line")
        if not picture.is_file():
            raise RecordError(
                f"{path}, line {line}: the picture '{row['file']}' is not in {folder}: "
                f"put it there or remove the line"
            )
        if picture in people:
            raise RecordError(f"{path}, line {line}: {row['file']} is listed a second time: keep one line")
        people[picture] = RealPerson(spelling.setdefault(" ".join(name_words(name)), name), picture)
    return [people[picture] for picture in sorted(people)]


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path} is not a CSV file in UTF-8 ({error}): write it again") from error
    missing = {"file", "name"} - set(reader.fieldnames or ())
    if missing:
        raise RecordError(
            f"{path} needs the columns file and name, found {reader.fieldnames or 'none'}: "
            f"add {' and '.join(sorted(missing))} to its first line"
        )
    return rows


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
