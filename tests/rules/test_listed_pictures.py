"""Photographs in the place of drawn pictures, from their table to questions and splits, as the rules run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from mmunlearn.ids import concepts_of
from mmunlearn.records import Question, Split, read_json, read_jsonl, read_manifest
from tests.photographs import write_photographs
from tests.rules.mini import mini_config
from tests.rules.standin import World
from tests.shared import shared

FOLDER = "data/photographs"
WANTED = ("dataset/questions.jsonl", "dataset/splits/person15.json", "images/filters.json")


def made(root: Path, **images: object) -> World:
    files = {"folder": FOLDER, "manifest": f"{FOLDER}/manifest.csv", "pattern": None}
    files["columns"] = {what: what for what in ("file", "person", "event", "question", "answer")} | {
        "kind": None
    }
    config = mini_config(generator="files", files=files, min_accepted_share=0.0, **images)
    config["curation"] |= {"backend": "files", "n_people": 6, "n_events": 4}
    world = World.make(root, config)
    write_photographs(root / FOLDER)
    return world


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> World:
    def make(root: Path) -> None:
        made(root, filter="report").bring(*WANTED)

    root = shared(tmp_path_factory, "listed", make)
    return World(root, yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8")))


def test_every_picture_is_accepted_with_its_scores_where_filters_report(reported):
    rows = read_manifest(reported.results / "images" / "manifest.parquet")
    assert len(rows) == 24 and {(row.accepted, row.reject_reason, row.attempt) for row in rows} == {
        (True, "", 0)
    }
    assert all(row.aesthetic is not None and row.scene_pair is not None for row in rows)
    counts = json.loads((reported.results / "images" / "filters.json").read_text())
    assert (counts["enforced"], counts["accepted"]) == (False, 24) and counts["chain"]["rejected"] > 0
    sizes = {Image.open(reported.root / row.path).size for row in rows}
    assert all(max(size) == 128 for size in sizes) and len(sizes) > 1, "their longer side is images.size"


def test_questions_and_splits_are_of_the_pictures_that_are_there(reported):
    rows = read_jsonl(reported.results / "dataset" / "questions.jsonl", Question)
    assert len(rows) == 48
    assert {row.answer for row in rows if row.image_id == "p003-e01"} == {
        "You see Chelsea.",
        "It is seen from near.",
    }
    split = read_json(reported.results / "dataset" / "splits" / "person15.json", Split)
    assert len(split.forgotten) == 1 and len(split.forget_train) == len(split.forget_test) == 2
    assert {concepts_of(image)[0] for image in split.forget_train} == {*split.forgotten}


def test_a_changed_picture_is_measured_anew_and_no_other(reported, tmp_path):
    world = reported.copy(tmp_path / "changed")
    features = world.root / "work" / "features"
    before = set(features.rglob("*.npz"))
    Image.new("RGB", (90, 90), "teal").save(world.root / FOLDER / "grace" / "2.png")
    for rule in ("list_pictures", "write_prompts"):
        world.run(rule)
    for shard in ("000", "001", "002"):
        world.run("draw_shard", shard=shard)
    assert [path.name[:12] for path in set(features.rglob("*.npz")) - before] == ["p001-e02-a00"]


def test_a_picture_that_filters_refuse_has_no_other_where_they_are_enforced(tmp_path):
    """The second threshold holds between pictures, and refuses what the first lets pass."""
    strict = {"identity_l2": 2.0, "scene_cosine": -1.0, "scene_pair": 1.0, "subject_cosine": -1.0}
    world = made(
        tmp_path / "world",
        filter="enforce",
        stop_below=None,
        thresholds=strict | {"distortion": 0, "aesthetic": 3},
    )
    world.bring("images/filters.json")
    rows = read_manifest(world.results / "images" / "manifest.parquet")
    assert len(rows) == 24 and {row.attempt for row in rows} == {0}
    reasons = {row.reject_reason for row in rows}
    assert "scene pair" in reasons and not all(row.accepted for row in rows)
