"""What a data set holds: every count of a made-up one, groups that are known and not, decades without gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.curation.attributes import categories, continents
from mmunlearn.dataset.statistics import by_age, by_group, count_dataset, falling, statistics
from mmunlearn.ids import question_id
from mmunlearn.records import Question, RecordError, Split, write_json, write_jsonl, write_manifest
from tests.unit.rows import candidate, event, person

DRAWN = [  # image, attempt, guidance scale, accepted
    ("p000-e00", 0, 3.5, True),
    ("p000-e01", 0, 3.5, False),
    ("p000-e01", 1, 2.5, True),
    ("p001-e00", 0, 3.5, False),
    ("p001-e00", 1, 2.5, False),
    ("p001-e01", 0, 3.5, True),
]


def parts() -> dict[str, Any]:
    rows = [
        candidate(image, attempt, "" if accepted else "scene", guidance_scale=scale)
        for image, attempt, scale, accepted in DRAWN
    ]
    pairs = [(row.image_id, kind) for row in rows if row.accepted for kind in ("person", "event")]
    return {
        "candidates": rows,
        "people": [
            person(0, age=34, job="beekeeper", birthplace="Lagos, Nigeria"),
            person(1, age=52, gender="Male", job="nurse", birthplace="Kochi, India"),
        ],
        "events": [event(0), event(1)],
        "questions": [
            Question(question_id=question_id(*one), image_id=one[0], kind=one[1], question="?", answer="!")
            for one in pairs
        ],
        "splits": {
            "person50": Split(
                target="person", percent=50, seed=1, forgotten=["p000"], forget_train=["p000-e00"],
                forget_test=["p000-e01"], retain=["p001-e01"],
            )
        },
    }  # fmt: skip


def test_all_is_counted() -> None:
    counts = statistics(**parts())
    job, place = categories(), continents()
    assert counts == {
        "people": 2,
        "events": 2,
        "cells": 4,
        "pictures": 3,
        "accepted_share": 0.75,
        "candidates": 6,
        "attempts": {"1": 2, "2": 2},
        "guidance_scales": {"2.5": {"candidates": 2, "pictures": 1}, "3.5": {"candidates": 4, "pictures": 2}},
        "generators": {"pocket-1": {"candidates": 6, "pictures": 3}},
        "questions": {"event": 3, "person": 3},
        "splits": {"person50": {"forgotten": 1, "forget_train": 1, "forget_test": 1, "retain": 1}},
        "ages": {"30-39": 1, "40-49": 0, "50-59": 1},
        "genders": {"Female": 1, "Male": 1},
        "professions": falling([job["beekeeper"], job["nurse"]]),
        "regions": falling([place["Lagos, Nigeria"], place["Kochi, India"]]),
        "jobs": {"beekeeper": 1, "nurse": 1},
        "birthplaces": {"Kochi, India": 1, "Lagos, Nigeria": 1},
    }


def test_numbers_of_attempts_are_in_order_of_number() -> None:
    drawn = parts()
    drawn["candidates"] += [candidate("p002-e00", attempt, "scene") for attempt in range(11)]
    assert list(statistics(**drawn)["attempts"]) == ["1", "2", "11"]


def test_a_share_is_not_rounded() -> None:
    drawn = parts()
    drawn["candidates"] += [candidate(f"p{number:03d}-e09", 0, "scene") for number in (2, 3, 4)]
    assert statistics(**drawn)["accepted_share"] == 3 / 7


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
    groups = by_group(values, {"a": "x", "b": "x", "c": "y"})
    assert list(groups.items()) == list(counted.items())


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
    paths = write_parts(tmp_path)
    paths["people"].write_text('{"person_id": "p0"}\n')
    with pytest.raises(RecordError, match=r"people\.jsonl, line 1"):
        count_dataset(tmp_path / "statistics.json", **paths)
    assert not (tmp_path / "statistics.json").exists()
