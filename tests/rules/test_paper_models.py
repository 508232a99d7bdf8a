"""The paper's rules on a tiny checkpoint of every family: finetune, goal, all methods, answers, scores."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from mmunlearn.ids import parse_recipe
from mmunlearn.models.families import FAMILIES, caches_features
from mmunlearn.records import Answer, Scores, Training, read_json, read_jsonl
from mmunlearn.workflow.check import prepare
from mmunlearn.workflow.params import labels
from tests.rules.mini import SETS, curate, draw, mini_config, scored, train
from tests.rules.standin import ROOT, World
from tests.tiny_vlm import write_vlm

PACKING = [name for name in FAMILIES if name != "other"]


def model_config(family: str) -> dict[str, Any]:
    """The paper's preset over the mini world: its methods for the person target, and a tiny model of one family."""
    config = mini_config()
    preset = yaml.safe_load((ROOT / "presets" / "paper.yaml").read_text(encoding="utf-8"))
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["methods"] = shipped["methods"]
    update_config(config, {key: preset[key] for key in ("training", "methods")})
    for name, row in config["methods"].items():
        row |= {"targets": ["both"] if "+" in name else ["person"], "max_steps": 2}
    config["dataset"] |= {"targets": ["person"], "n_replay": 0}
    config["models"] = {
        "tiny": {"family": family, "source": "models/tiny", "dtype": "float32", "attention": "sdpa"}
        | {"revision": None, "batch": 2, "lora_targets": None}
    }
    config["training"] |= {"precision": "none", "lora": {"rank": 4, "alpha": 8, "dropout": 0.0}}
    config["training"]["finetune"] |= {"epochs": 1, "accumulation": 2}
    config["training"]["unlearn"] |= {"accumulation": 2}
    config |= {"scale": "paper-model", "ceiling_seed": None}
    prepare(config)
    return config


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The data set, once for all families."""
    world = World.make(tmp_path_factory.mktemp("family") / "pictures", model_config("llava"))
    draw(curate(world))
    for rule in ("write_truth", "check_images", "build_questions"):
        world.run(rule)
    for split in ("person15", "event15"):
        world.run("split_concepts", split=split)
    for name in SETS:
        world.run("build_reference_set", set=name)
    return world


@pytest.mark.parametrize("family", PACKING)
def test_a_family_goes_all_the_way(pictures, tmp_path, family):
    copied = pictures.copy(tmp_path / "world")
    world = World(copied.root, model_config(family))
    (world.root / "config.yaml").write_text(yaml.safe_dump(world.config, sort_keys=False), encoding="utf-8")
    write_vlm(family, world.root / "models" / "tiny")
    if caches_features(world.config["models"]["tiny"]):  # mllama goes by the lists of pictures
        for suite in ("dataset", *SETS):
            world.run("encode_images", model="tiny", suite=suite)
    rows = [*scored(world), *scored(world, "table4")]
    made = list(dict.fromkeys(row["recipe"] for row in rows))
    for recipe in made:
        train(world, recipe, 1)
        world.run("answer_questions", model="tiny", recipe=recipe, seed=1)
    for row in rows:
        if row["split"].startswith("person"):
            world.run("score_answers", **row)
            check(world, row["recipe"], row["split"])
    spelled = {labels(world.config)[parse_recipe(recipe).method] for recipe in made}
    assert spelled >= {"Finetune", "Goal", "PO", "GA", "GD", "KL", "DPO", "NPO", "SimNPO", "GD+BGD", "KL+BGD"}


def check(world: World, recipe: str, split: str) -> None:
    folder = world.results / "models" / "tiny" / recipe / "seed-1"
    training = read_json(folder / "training.json", Training)
    assert training.steps > 0 and all(math.isfinite(row["loss"]) for row in training.losses)
    answers = read_jsonl(world.results / "answers" / "tiny" / recipe / "seed-1" / "dataset.jsonl", Answer)
    assert len(answers) == 2 * 15
    scores = read_json(world.results / "scores" / "tiny" / recipe / "seed-1" / f"{split}.json", Scores)
    values = {name: metric.value for name, metric in scores.metrics.items()}
    assert all(value is not None and 0 <= value <= 100 for value in values.values()), values
