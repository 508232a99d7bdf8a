"""The lifelong phase by its rules: what they give their scripts, and what these leave."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml

from mmunlearn.files import RecordError
from mmunlearn.models.feature_file import write_features
from mmunlearn.records import Training, read_json, sha256_of, write_jsonl
from mmunlearn.settings import differences
from tests.rules.mini import mini_config
from tests.rules.standin import World
from tests.rules.test_evaluation import LEAVES_ALONE
from tests.tiny import random_features, write_checkpoint
from tests.unit.stage_fixtures import task_questions

ROW = {"learning_rate": 1.0e-2, "max_steps": 2}


def lifelong_config():
    """The mini configuration with two tasks, three methods and two orders."""
    config = mini_config()
    own = config["lifelong"]
    own |= {"tasks": ["A", "B"], "orders": [["A", "B"], ["B", "A"]]}
    own["methods"] = {
        "ga": {**ROW, "task_rates": {"B": 2.0e-2}},
        "npo-prev": {**ROW, "method": "npo", "beta": 2.0, "reference_model": "previous"},
        "gd": {**ROW, "stop": {"window": 1, "forget_bound": 0.1, "refusal_bound": 0.1}},
    }
    own["drift"]["methods"] = None
    own["experts"] = {**ROW, "stop": None}
    own["train"] |= {"batch": 4, "weight_decay": 0.1}
    own["lora"] = {"rank": 4, "alpha": 8, "dropout": 0.3}
    return config


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A world with the questions of two tasks and their pictures' features."""
    world = World.make(tmp_path_factory.mktemp("tasks") / "world", lifelong_config())
    write_checkpoint(world.root / "models/tiny")
    rows, home = task_questions(), world.results / "lifelong/tiny"
    write_jsonl(home / "questions.jsonl", rows)
    images = list(dict.fromkeys(row.image_id for row in rows))
    write_features(home / "features.safetensors", random_features(images).items(), images)
    return world


def sequence(world, method, order="AB"):
    """training.json by task."""
    home = world.results / "lifelong/tiny" / method / (f"{order}/seed-1" if method != "experts" else "seed-1")
    return {path.parent.name: read_json(path, Training) for path in sorted(home.glob("*/training.json"))}


def test_a_row_says_how_its_tasks_are_unlearned(tasks, tmp_path):
    world = tasks.copy(tmp_path / "world")
    for method in ("ga", "npo-prev", "gd"):
        world.run("unlearn_tasks", model="tiny", method=method, order="AB", seed=1)
    world.run("unlearn_tasks", model="tiny", method="ga", order="BA", seed=1)
    world.run("train_experts", model="tiny", seed=1)
    ga, npo, gd, experts = (sequence(world, name) for name in ("ga", "npo-prev", "gd", "experts"))
    assert [(one.recipe, one.steps, one.settings["learning_rate"]) for one in ga.values()] == [
        ("ga-A", 2, 1.0e-2), ("ga-AB", 2, 2.0e-2),
    ]  # fmt: skip
    assert [one.recipe for one in sequence(world, "ga", "BA").values()] == ["ga-BA", "ga-B"]
    settings = ga["A"].settings
    assert settings["lora"] == {"rank": 4, "alpha": 8, "dropout": 0.3, "targets": None}
    assert (settings["batch"], settings["weight_decay"], settings["stopping"]) == (4, 0.1, None)
    assert re.fullmatch("<code of the method [0-9a-f]{16}>", settings["method_code"])
    assert npo["B"].method == "NPO" and npo["B"].settings["options"] == {"beta": 2.0}
    assert npo["B"].settings["reference"] == npo["A"].adapter_sha256 == npo["B"].settings["start"]
    assert ga["B"].settings["reference"] == settings["start"] == experts["B"].settings["start"]
    assert [one.steps for one in gd.values()] == [0, 0] and "before step 1" in gd["A"].stop_reason
    assert [(one.recipe, one.method, one.steps) for one in experts.values()] == [
        ("po-A", "PO", 2), ("po-B", "PO", 2),
    ]  # fmt: skip
    weights = world.results / "lifelong/tiny/ga/AB/seed-1/B/adapter/adapter_model.safetensors"
    assert sha256_of(weights) == ga["B"].adapter_sha256
    for method in ("ga", "npo-prev", "gd", "lumoe"):  # which has the experts behind it
        job = world.job("score_stages", model="tiny", method=method, order="AB", seed=1)
        trained = {
            Path(path).parent.name: read_json(world.root / path, Training)
            for path in job["input"]["trainings"]
        }
        asked = job["params"]["settings"]
        assert asked.keys() == trained.keys() == {"A", "B"}
        assert [differences(one.settings, asked[task]) for task, one in trained.items()] == [[], []]
        of_tasks = {"task", "questions", "method_code", "start", "reference"}
        assert [one.settings.keys() - asked[task].keys() for task, one in trained.items()] == 2 * [
            LEAVES_ALONE | of_tasks | (set() if method != "lumoe" else {"options"})
        ]


def test_another_rate_of_the_last_task_trains_that_one_alone(tasks, tmp_path):
    """The log says what was there; Snakemake starts the job by the changed param."""
    world = tasks.copy(tmp_path / "world")
    asked = {"model": "tiny", "method": "ga", "order": "AB", "seed": 1}
    world.run("unlearn_tasks", **asked)
    before, params = sequence(world, "ga"), world.job("unlearn_tasks", **asked)["params"]
    config = copy.deepcopy(world.config)
    config["lifelong"]["methods"]["ga"]["task_rates"]["B"] = 3.0e-3
    (world.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    other = World(world.root, config)
    changed = other.job("unlearn_tasks", **asked)["params"]
    assert [name for name, value in changed.items() if repr(value) != repr(params[name])] == ["rates"]
    other.run("unlearn_tasks", **asked)
    after = sequence(other, "ga")
    assert after["A"] == before["A"] and after["B"].adapter_sha256 != before["B"].adapter_sha256
    log = other.log("unlearn_tasks", **asked)
    assert "task A was there, with 2 steps" in log and "task B took 2 steps" in log


def test_drawn_tasks_are_read_as_drawn_or_not_at_all(tmp_path):
    world = World.make(tmp_path / "world", lifelong_config())
    world.run("draw_tasks")
    world.run("read_tasks")
    home = world.results / "lifelong"
    one, other = sorted((home / "released").rglob("*.png"))[:2]
    shutil.copyfile(other, one)
    with pytest.raises(RecordError, match=rf"{one.name} is not the file that was drawn .*draw_tasks$"):
        world.run("read_tasks")
    world.run("draw_tasks")
    world.run("read_tasks")
