"""Jobs of a model that keeps no features: the same results as with them, from the lists of pictures."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mmunlearn.evaluation.answers import answer_questions
from mmunlearn.ids import Run
from mmunlearn.lifelong.answers import answer_before
from mmunlearn.lifelong.gates.ask import ask_gate
from mmunlearn.models.families.llava import Llava
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.features import encode
from mmunlearn.models.loading import ModelSpec
from mmunlearn.models.picture_list import PictureList
from mmunlearn.records import (
    PictureRow,
    RecordError,
    read_jsonl,
    sha256_of,
    write_jsonl,
)
from mmunlearn.robustness.membership import infer_membership
from mmunlearn.robustness.target import GenerationSettings, TargetModel
from mmunlearn.training.train import train
from mmunlearn.training.trainer import PlannedTrainer
from tests.tiny import load_tiny
from tests.unit.lumoe_fixtures import world
from tests.unit.test_gates import CLIP, VLM
from tests.unit.test_trainer import kill
from tests.unit.training_fixtures import PICTURES, WEIGHTS, digest, trainer_of, unlearner, unlearning


class Suite(NamedTuple):
    """A list of pictures, and the features that the tiny model makes of each alone."""

    listed: Path
    stored: Path


def write_suite(folder: Path, checkpoint: Path, rows: list[PictureRow]) -> Suite:
    suite = Suite(folder / "dataset.jsonl", folder / "dataset.safetensors")
    write_jsonl(suite.listed, rows)
    listed = PictureList(suite.listed)
    write_features(suite.stored, encode(load_tiny(checkpoint), listed, batch=1), list(listed))
    return suite


def noise(folder: Path, seed: int) -> list[PictureRow]:
    """A noisy picture for each of PICTURES."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir()
    for one in PICTURES:
        path = folder / f"{one.image_id}.png"
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), "uint8")).save(path)
        rows.append(PictureRow(image_id=one.image_id, path=str(path), sha256=sha256_of(path)))
    return rows


@pytest.fixture(scope="module")
def suites(finetuned, tmp_path_factory) -> tuple[Suite, Suite]:
    """Pictures that are learnt, and others of the same ids."""
    homes = [tmp_path_factory.mktemp("suite") for _ in range(2)]
    return tuple(
        write_suite(home, finetuned / "tiny", noise(home / "pictures", seed))
        for seed, home in enumerate(homes)
    )


@pytest.fixture
def towers(monkeypatch) -> list[int]:
    """Grows by the number of pictures at every run of the tower."""
    runs, tower = [], Llava.tower
    monkeypatch.setattr(
        Llava, "tower", lambda base, prepared: runs.append(len(prepared)) or tower(base, prepared)
    )
    return runs


SHOWN = {"dropout": 0.3, "batch": 2, "accumulation": 2, "max_steps": 4}


@pytest.mark.parametrize(("name", "workers"), [("kl", 0), ("dpo", 2)])
def test_a_training_ends_in_the_same_bytes(name, workers, finetuned, suites, tmp_path, towers):
    """With dropout, a reference in the loop or before it, and in processes that prepare; killed, it goes on to them."""
    stored = unlearner(finetuned, name, tmp_path / "stored", features=[suites[0].stored], **SHOWN)
    expected = stored.run()
    assert expected[-1]["loss"] != expected[0]["loss"] and not towers
    changes = SHOWN | {"features": [suites[0].listed], "workers": workers, "save_steps": 1}
    made = unlearner(finetuned, name, tmp_path / "made", **changes)
    assert made.run() == expected and digest(made.model) == digest(stored.model)
    plan = made.train_dataset
    shown = {one.image_id for step in plan for view in made.method.views for one in step.get(view, ())}
    assert towers == [1] * len(shown), (
        "once a picture: it is at hand for the reference, other views and steps"
    )
    kill(unlearner(finetuned, name, tmp_path / "killed", **changes), at=3)
    resumed = unlearner(finetuned, name, tmp_path / "killed", **changes)
    assert resumed.run() == expected and digest(resumed.model) == digest(stored.model)


def test_a_training_is_identified_by_the_bytes_of_its_pictures(finetuned, suites, tmp_path):
    one, other = (unlearning(finetuned, tmp_path, features=[suite.listed]) for suite in suites)
    moved = shutil.copy(suites[0].listed, tmp_path / "dataset.jsonl")
    os.utime(moved, (1e9, 1e9))
    assert unlearning(finetuned, tmp_path, features=[moved]).identity == one.identity
    rows = read_jsonl(moved, PictureRow)
    write_jsonl(moved, [rows[0].model_copy(update={"sha256": "0" * 64}), *rows[1:]])
    changed = unlearning(finetuned, tmp_path, features=[moved])
    assert len({one.identity, other.identity, changed.identity}) == 3
    with pytest.raises(RecordError, match=r"it is not the one listed"):
        trainer_of(replace(changed, max_steps=20)).run()


def test_what_is_missing_is_named_before_a_base_is_loaded(finetuned, suites, tmp_path):
    rows = read_jsonl(suites[0].listed, PictureRow)
    lost = [row.model_copy(update={"path": "nowhere.png"}) for row in rows]
    for listed, message in ((rows[:1], "is not listed in .*list.jsonl"), (lost, "there is no such file")):
        write_jsonl(tmp_path / "list.jsonl", listed)
        spec = {"family": "llava", "source": "nowhere", "dtype": "float32"}
        with pytest.raises(RecordError, match=message):
            trainer_of(unlearning(finetuned, tmp_path, features=[tmp_path / "list.jsonl"], spec=spec))


def test_shards_of_a_model_have_no_tower(finetuned, suites, tmp_path, monkeypatch):
    monkeypatch.setattr(PlannedTrainer, "sharded", True)
    with pytest.raises(ValueError, match=r"in shards, but .*; set models\.tiny\.cache_features: true"):
        unlearner(finetuned, "ga", tmp_path, features=[suites[0].listed])
    unlearner(finetuned, "ga", tmp_path, features=[suites[0].stored])


def test_answers_of_several_adapters_are_the_same(finetuned, suites, tmp_path, towers):
    run = unlearning(finetuned, tmp_path, "ga-person50", max_steps=2, learning_rate=0.05)
    folder = tmp_path / "models/tiny/ga-person50/seed-1"
    train(run, folder / "training.json")
    shutil.copytree(finetuned / "adapter", tmp_path / "models/tiny/finetuned/seed-1/adapter")
    towers.clear()
    said = {}
    for what in Suite._fields:
        outputs = [
            tmp_path / what / f"tiny/{recipe}/seed-1/dataset.jsonl" for recipe in ("ga-person50", "finetuned")
        ]
        answer_questions(
            questions=[finetuned / "questions.jsonl"], features=[getattr(suites[0], what)],
            adapters=[tmp_path / f"models/tiny/{one.parents[1].name}/seed-1/adapter" / WEIGHTS for one in outputs],
            outputs=outputs, spec=run.spec, batch=5, max_new_tokens={"person": 6, "event": 9}, work=tmp_path / "work",
            version=1,
        )  # fmt: skip
        said[what] = [path.read_bytes() for path in outputs]
    assert said["listed"] == said["stored"] and len(set(said["stored"])) == 2
    assert towers == [1] * 2 * len(PICTURES), "two questions on each; what one model was shown is given back"


def test_membership_is_inferred_alike(finetuned, suites, tmp_path):
    write_jsonl(tmp_path / "people.jsonl", [])
    found = {}
    for what in Suite._fields:
        files = {
            "adapter": finetuned / "adapter" / WEIGHTS, "split": finetuned / "person50.json",
            "questions": finetuned / "questions.jsonl", "people": tmp_path / "people.jsonl",
            "features": getattr(suites[0], what), "unseen": getattr(suites[1], what),
        }  # fmt: skip
        spec = ModelSpec("llava", str(finetuned / "tiny"), "float32")
        settings = GenerationSettings(None, 0, 3, {"person": 3, "event": 3}, 10, "bf16")
        target = TargetModel(
            Run("tiny", "ga-person50", 1), spec, files, settings, tmp_path / "work", 1, tmp_path / "x"
        )
        findings, details = infer_membership(target, min_k=0.5)
        found[what] = [one.result for one in findings]
        assert details["pairs"] == 4
    assert found["listed"] == found["stored"]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, tiny_checkpoint) -> Suite:
    """Questions of tasks, which list their pictures, and these pictures' features."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = world(folder / "pictures")
    suite = Suite(folder / "questions.jsonl", folder / "features.safetensors")
    write_jsonl(suite.listed, rows)
    listed = PictureList(suite.listed)
    write_features(suite.stored, encode(load_tiny(tiny_checkpoint), listed, batch=1), list(listed))
    return suite


@pytest.mark.parametrize(("gate", "settings", "runs"), [("clip", CLIP, 14 + 10), ("vlm", VLM, 2 * 14)])
def test_gates_see_the_same(gate, settings, runs, tasks, tiny_checkpoint, tmp_path, towers):
    """Of 14 pictures, and 10 that prototypes are made of; in two turns."""
    seen = {}
    for what in Suite._fields:
        ask_gate(
            tmp_path / f"{what}.jsonl", gate=gate, questions=tasks.listed, features=getattr(tasks, what),
            spec={"family": "llava", "source": str(tiny_checkpoint), "dtype": "float32"}, settings=settings,
            precision="none", endpoint={}, batch=4, work=tmp_path / "work", version=1,
        )  # fmt: skip
        seen[what] = (tmp_path / f"{what}.jsonl").read_text()
    assert seen["listed"] == seen["stored"] and len(set(seen["stored"].splitlines())) > 5
    assert towers == [1] * runs


def test_tasks_are_answered_alike(tasks, tiny_checkpoint, tmp_path):
    for what in Suite._fields:
        answer_before(
            tmp_path / what, questions=tasks.listed, features=getattr(tasks, what), known_only=True,
            spec={"family": "llava", "source": str(tiny_checkpoint), "dtype": "float32"}, max_new_tokens=5,
            precision="none", batch=4, work=tmp_path / "work", version=1,
        )  # fmt: skip
    assert (tmp_path / "listed").read_bytes() == (tmp_path / "stored").read_bytes() != b""
