"""Data set: questions on valid pictures, splits of them, and the reference sets."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from PIL import Image

from mmunlearn.dataset import files
from mmunlearn.ids import question_id
from mmunlearn.records import (
    POPE_SUBSETS,
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
    people = {row.person_id: row for row in read_jsonl(asked.results / "curation/people.jsonl", Person)}
    events = {row.event_id: row for row in read_jsonl(asked.results / "curation/events.jsonl", Event)}
    expected = []
    for row in accepted(asked):
        answers = {
            "person": f"This is {people[row.person_id].name}.",
            "event": events[row.event_id].description,
        }
        for kind, answer in answers.items():
            expected.append((question_id(row.image_id, kind), row.image_id, kind, texts[kind], answer))
    rows = read_jsonl(asked.results / "dataset" / "questions.jsonl", Question)
    assert [tuple(row.model_dump().values()) for row in rows] == expected
    assert len(rows) == 30 and not any(row.image_id == "p002-e03" for row in rows)


@pytest.mark.parametrize("target", ["person", "event"])
def test_a_split_forgets_one_of_four_and_retains_the_others(asked, target):
    split = split_of(asked, f"{target}15")
    concepts = {row.image_id: getattr(row, f"{target}_id") for row in accepted(asked)}
    forgotten = [image for image, concept in concepts.items() if concept in split.forgotten]
    assert (split.target, split.percent, split.seed, len(split.forgotten)) == (target, 15, 4, 1)
    assert sorted(split.forget_train + split.forget_test) == forgotten
    assert 0 <= len(split.forget_train) - len(split.forget_test) <= 1
    assert split.retain == sorted(concepts.keys() - set(forgotten))


def test_reference_sets_are_complete_disjoint_and_drawn_at_size(asked):
    rows = {name: read_jsonl(asked.results / "dataset" / f"{name}.jsonl", SuiteQuestion) for name in SETS}
    pictures = {name: {row.path for row in rows[name]} for name in SETS}
    assert {name: len(paths) for name, paths in pictures.items()} == {"real": 4, "world": 3, "replay": 4}
    for name, paths in pictures.items():
        folder = asked.results / "dataset" / name
        assert paths == {f"results/mini/dataset/{name}/{path.name}" for path in folder.iterdir()}
        assert {Image.open(asked.root / path).size for path in paths} == {(128, 128)}
    digests = {row.path: row.sha256 for name in SETS for row in rows[name]}
    assert digests == {path: sha256_of(asked.root / path) for path in digests}
    assert len(set(digests.values())) == len(digests) == 11, "no picture is in two sets"
    people = read_jsonl(asked.results / "curation" / "people.jsonl", Person)
    answers = " ".join(row.answer for name in SETS for row in rows[name])
    assert not any(person.name in answers for person in people), "nothing tells of the benchmark's people"


def test_the_real_set_asks_for_public_figures_and_events(asked):
    rows = read_jsonl(asked.results / "dataset" / "real.jsonl", SuiteQuestion)
    texts = asked.config["dataset"]["questions"]
    assert Counter(row.kind for row in rows) == {"person": 2, "event": 2}
    assert all(row.question == texts[row.kind] for row in rows)
    assert all(row.answer == f"This is {row.subset}." for row in rows if row.kind == "person")


def test_the_world_set_asks_yes_and_no_in_every_subset_of_pope(asked):
    rows = read_jsonl(asked.results / "dataset" / "world.jsonl", SuiteQuestion)
    counts = Counter((row.image_id, row.subset, row.answer) for row in rows)
    assert counts == Counter(product({row.image_id for row in rows}, POPE_SUBSETS, ("Yes", "No")))


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
    events = read_jsonl(write_collection(tmp_path) / "events.jsonl", Event)
    world = World.make(tmp_path / "world", curated.config | {"dataset": of_files(curated.config, tmp_path)})
    for rule in ("curate_people", "curate_events"):
        world.run(rule)
    write_jsonl(world.results / "curation" / "events.jsonl", events)
    read = {name: world.job("build_reference_set", set=name) for name in SETS}
    assert {name: sorted(job["params"]["options"]) for name, job in read.items()} == {
        "real": ["clip", "events", "people", "quick_gelu", "real_reference"], "world": ["coco", "pope"], "replay": [],
    }  # fmt: skip
    for name in SETS:
        world.run("build_reference_set", set=name)
    rows = {name: read_jsonl(world.results / f"dataset/{name}.jsonl", SuiteQuestion) for name in SETS}
    assert {name: len(rows[name]) for name in SETS} == {"real": 4, "world": 54, "replay": 0}
    assert all(sha256_of(world.root / row.path) == row.sha256 for name in SETS for row in rows[name])
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
