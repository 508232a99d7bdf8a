"""What a data set holds: every count of a made-up one, groups that are known and not, decades without gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.curation.attributes import categories, continents
from mmunlearn.dataset.statistics import by_age, by_group, count_dataset, falling, statistics
from mmunlearn.records import (
    Candidate,
    Event,
    Person,
    Question,
    RecordError,
    Split,
    write_json,
    write_jsonl,
    write_manifest,
)

# image, attempt, guidance scale, accepted
DRAWN = [
    ("p0-e0", 0, 3.5, True),
    ("p0-e1", 0, 3.5, False),
    ("p0-e1", 1, 2.5, True),
    ("p1-e0", 0, 3.5, False),
    ("p1-e0", 1, 2.5, False),
    ("p1-e1", 0, 3.5, True),
]


def candidate(image_id: str, attempt: int, guidance: float, accepted: bool) -> Candidate:
    person, event = image_id.split("-")
    return Candidate(
        image_id=image_id, person_id=person, event_id=event, attempt=attempt, seed=attempt,
        guidance_scale=guidance, prompt="a picture", path="", sha256="", generator="pocket-1", identity_l2=0.5,
        scene_cosine=0.8, subject_cosine=0.9, distortion=70.0, aesthetic=7.0, accepted=accepted,
        reject_reason="" if accepted else "scene", faces=1, scene_pair=None,
    )  # fmt: skip


def person(number: int, **changed: Any) -> Person:
    fields = {"age": 34, "gender": "woman", "job": "beekeeper", "birthplace": "Lagos"} | changed
    return Person(person_id=f"p{number}", name=f"Name {number}", appearance="tall", **fields)


def parts() -> dict[str, Any]:
    rows = [candidate(*row) for row in DRAWN]
    return {
        "candidates": rows,
        "people": [person(0), person(1, age=52, gender="man", job="nurse", birthplace="Kerala")],
        "events": [Event(event_id=f"e{n}", theme=f"theme {n}", description=f"Scene {n}.") for n in range(2)],
        "questions": [
            Question(
                question_id=f"{row.image_id}-{kind}",
                image_id=row.image_id,
                kind=kind,
                question="?",
                answer="!",
            )
            for row in rows
            if row.accepted
            for kind in ("person", "event")
        ],
        "splits": {
            "person50": Split(
                target="person", percent=50, seed=1, forgotten=["p0"], forget_train=["p0-e0"],
                forget_test=["p0-e1"], retain=["p1-e1"],
            )
        },
    }  # fmt: skip


def test_everything_is_counted() -> None:
    found = statistics(**parts())
    job, place = categories(), continents()
    assert found == {
        "people": 2,
        "events": 2,
        "cells": 4,
        "pictures": 3,
        "accepted_share": 0.75,
        "candidates": 6,
        "attempts": {"1": 2, "2": 2},
        "guidance_scales": {
            "2.5": {"candidates": 2, "pictures": 1},
            "3.5": {"candidates": 4, "pictures": 2},
        },
        "generators": {"pocket-1": {"candidates": 6, "pictures": 3}},
        "questions": {"event": 3, "person": 3},
        "splits": {"person50": {"forgotten": 1, "forget_train": 1, "forget_test": 1, "retain": 1}},
        "ages": {"30-39": 1, "40-49": 0, "50-59": 1},
        "genders": {"man": 1, "woman": 1},
        "professions": falling([job["beekeeper"], job["nurse"]]),
        "regions": falling([place["Lagos"], place["Kerala"]]),
        "jobs": {"beekeeper": 1, "nurse": 1},
        "birthplaces": {"Kerala": 1, "Lagos": 1},
    }


def test_numbers_of_attempts_are_in_order_of_number() -> None:
    drawn = parts()
    drawn["candidates"] += [candidate("p2-e0", attempt, 3.5, False) for attempt in range(11)]
    assert list(statistics(**drawn)["attempts"]) == ["1", "2", "11"]


def test_nothing_drawn_has_no_share() -> None:
    assert statistics([], [], [], [], {})["accepted_share"] is None


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        (["a", "A ", "c"], {"x": 2, "y": 1}),
        (["Town, a", "c", "a"], {"x": 2, "y": 1}),
        (["c", "a", "nowhere", "c"], {"y": 2, "x": 1, "other": 1}),
        (["nowhere", "elsewhere", "a"], {"a": 1, "elsewhere": 1, "nowhere": 1}),
        ([], {}),
    ],
)
def test_groups(values: list[str], counted: dict[str, int]) -> None:
    found = by_group(values, {"a": "x", "b": "x", "c": "y"})
    assert list(found.items()) == list(counted.items())


def test_equally_frequent_ones_are_in_order_of_name() -> None:
    assert list(falling("cabbac" + "d").items()) == [("a", 2), ("b", 2), ("c", 2), ("d", 1)]


def test_decades_have_no_gap() -> None:
    assert by_age([person(0, age=19), person(1, age=20), person(2, age=49)]) == {10: 1, 20: 1, 30: 0, 40: 1}
    assert by_age([]) == {}


def write_parts(folder: Path) -> dict[str, Any]:
    made = parts()
    write_manifest(folder / "manifest.parquet", made["candidates"])
    for name in ("people", "events", "questions"):
        write_jsonl(folder / f"{name}.jsonl", made[name])
    write_json(folder / "person50.json", made["splits"]["person50"])
    paths = {name: folder / f"{name}.jsonl" for name in ("people", "events", "questions")}
    return {"manifest": folder / "manifest.parquet", **paths, "splits": [folder / "person50.json"]}


def test_the_file_is_what_was_counted(tmp_path: Path) -> None:
    count_dataset(tmp_path / "statistics.json", **write_parts(tmp_path))
    assert json.loads((tmp_path / "statistics.json").read_text()) == statistics(**parts())


def test_a_broken_input_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    given = write_parts(tmp_path)
    given["people"].write_text('{"person_id": "p0"}\n')
    with pytest.raises(RecordError, match=r"people\.jsonl, line 1"):
        count_dataset(tmp_path / "statistics.json", **given)
    assert not (tmp_path / "statistics.json").exists()
