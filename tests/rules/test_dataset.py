"""Data set: questions on valid pictures, splits of them, and the reference sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mmunlearn.dataset import files
from mmunlearn.records import (
    Event,
    Person,
    Question,
    SuiteQuestion,
    Training,
    read_json,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_jsonl,
)
from tests.rules.mini import SETS, split_of, train
from tests.rules.standin import World
from tests.unit.file_sets import ColourClip, options, write_collection


def accepted(world):
    return [row for row in read_manifest(world.results / "images" / "manifest.parquet") if row.accepted]


def test_two_questions_on_every_valid_picture_and_none_on_others(asked):
    texts = asked.config["dataset"]["questions"]
    names = {row.person_id: row.name for row in read_jsonl(asked.results / "curation/people.jsonl", Person)}
    scenes = {
        row.event_id: row.description for row in read_jsonl(asked.results / "curation/events.jsonl", Event)
    }
    expected = []
    for row in accepted(asked):
        said = {"person": f"This is {names[row.person_id]}.", "event": scenes[row.event_id]}
        expected += [(f"{row.image_id}-{kind}", row.image_id, kind, texts[kind], said[kind]) for kind in said]
    rows = read_jsonl(asked.results / "dataset" / "questions.jsonl", Question)
    assert [tuple(row.model_dump().values()) for row in rows] == expected
    assert len(rows) == 30 and not any(row.image_id == "p002-e03" for row in rows)


@pytest.mark.parametrize("target", ["person", "event"])
def test_a_split_forgets_one_of_four_and_retains_the_others(asked, target):
    split = split_of(asked, f"{target}15")
    concept = {row.image_id: getattr(row, f"{target}_id") for row in accepted(asked)}
    gone = [image for image, own in concept.items() if own in split.forgotten]
    assert (split.target, split.percent, split.seed, len(split.forgotten)) == (target, 15, 4, 1)
    assert sorted(split.forget_train + split.forget_test) == gone
    assert 0 <= len(split.forget_train) - len(split.forget_test) <= 1
    assert split.retain == sorted(concept.keys() - set(gone))


def test_reference_sets_are_complete_disjoint_and_drawn_at_size(asked):
    rows = {name: read_jsonl(asked.results / "dataset" / f"{name}.jsonl", SuiteQuestion) for name in SETS}
    pictures = {name: {row.path for row in own} for name, own in rows.items()}
    assert {name: len(own) for name, own in pictures.items()} == {"real": 4, "world": 3, "replay": 4}
    for name, own in pictures.items():
        folder = asked.results / "dataset" / name
        assert own == {f"results/mini/dataset/{name}/{path.name}" for path in folder.iterdir()}
        assert {Image.open(asked.root / path).size for path in own} == {(128, 128)}
    shown = {row.path: row.sha256 for own in rows.values() for row in own}
    assert shown == {path: sha256_of(asked.root / path) for path in shown}
    assert len(set(shown.values())) == len(shown) == 11, "no picture is in two sets"
    people = read_jsonl(asked.results / "curation" / "people.jsonl", Person)
    said = " ".join(row.answer for own in rows.values() for row in own)
    assert not any(person.name in said for person in people), "nothing tells of the benchmark's people"


def test_the_real_set_asks_for_public_figures_and_events(asked):
    rows = read_jsonl(asked.results / "dataset" / "real.jsonl", SuiteQuestion)
    texts = asked.config["dataset"]["questions"]
    assert Counter(row.kind for row in rows) == {"person": 2, "event": 2}
    assert all(row.question == texts[row.kind] for row in rows)
    assert all(row.answer == f"This is {row.subset}." for row in rows if row.kind == "person")


def test_the_world_set_asks_yes_and_no_in_every_subset_of_pope(asked):
    rows = read_jsonl(asked.results / "dataset" / "world.jsonl", SuiteQuestion)
    asked_of = Counter((row.image_id, row.subset, row.answer) for row in rows)
    images = {row.image_id for row in rows}
    subsets = ("random", "popular", "adversarial")
    assert asked_of == Counter((i, s, a) for i in images for s in subsets for a in ("Yes", "No"))


def test_pictures_of_an_earlier_larger_set_are_removed(asked, tmp_path):
    world = asked.copy(tmp_path / "world")
    world.run("build_reference_set", set="replay", params={"n": 1})
    assert [path.name for path in (world.results / "dataset" / "replay").iterdir()] == ["replay-000.png"]


def test_finetuning_goes_without_replay(encoded, tmp_path):
    """n_replay: 0, as in the paper: an empty set, an empty features file, and a model of the data set alone."""
    world = encoded.copy(tmp_path / "world")
    world.run("build_reference_set", set="replay", params={"n": 0})
    world.run("encode_images", model="tiny", suite="replay")
    assert (world.results / "dataset" / "replay.jsonl").read_text() == ""
    assert not list((world.results / "dataset" / "replay").iterdir())
    train(world, "finetuned", 1, params={"epochs": 1})
    made = read_json(world.results / "models/tiny/finetuned/seed-1/training.json", Training)
    assert (made.steps, made.epochs) == (2, 1.0), "15 pictures in batches of 8"


def test_the_sets_of_files_come_from_local_folders(curated, tmp_path, monkeypatch):
    """Real from a manifest and by retrieval, World from POPE's files; params hold what a set reads, no more."""
    monkeypatch.setattr(files, "load_clip", lambda *_: ColourClip())
    world = World.make(tmp_path / "world", curated.config | {"dataset": of_files(curated.config, tmp_path)})
    for rule in ("curate_people", "curate_events"):
        world.run(rule)
    events = read_jsonl(write_collection(tmp_path) / "events.jsonl", Event)
    write_jsonl(world.results / "curation" / "events.jsonl", events)
    read = {name: world.job("build_reference_set", set=name) for name in SETS}
    assert {name: sorted(job["params"]["options"]) for name, job in read.items()} == {
        "real": ["clip", "events", "people", "quick_gelu"], "world": ["coco", "pope"], "replay": [],
    }  # fmt: skip
    lists = {name: [Path(path).name for path in job["input"]["lists"]] for name, job in read.items()}
    assert lists["real"] == ["manifest.csv"] and len(lists["world"]) == 3 and lists["replay"] == []
    for name in SETS:
        world.run("build_reference_set", set=name)
    rows = {name: read_jsonl(world.results / f"dataset/{name}.jsonl", SuiteQuestion) for name in SETS}
    assert {name: len(own) for name, own in rows.items()} == {"real": 4, "world": 54, "replay": 0}
    assert all(sha256_of(world.root / row.path) == row.sha256 for own in rows.values() for row in own)
    assert "2 of 9 pictures retrieved; cosine" in world.log("build_reference_set", set="real")
    assert (world.results / "dataset" / "real" / "retrieval.csv").exists()


def of_files(config, folder):
    files = {key: value for key, value in options(folder).items() if key != "device"}
    return config["dataset"] | {"reference_sets": "files", "files": files, "n_replay": 0}


@pytest.mark.parametrize(
    ("rule", "name", "wildcards"),
    [
        ("split_concepts", "splits/person15.json", {"split": "person15"}),
        ("build_reference_set", "world.jsonl", {"set": "world"}),
    ],
)
def test_the_base_seed_alone_decides_splits_and_sets(asked, tmp_path, rule, name, wildcards):
    world = asked.copy(tmp_path / "world")
    first, path = sha256_of(asked.results / "dataset" / name), world.results / "dataset" / name
    world.run(rule, **wildcards)
    assert sha256_of(path) == first
    world.run(rule, params={"seed": 5}, **wildcards)
    assert sha256_of(path) != first
