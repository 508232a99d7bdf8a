"""Training: frozen features, finetuned, goal and unlearned models, and a kill in the middle."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from mmunlearn.records import (
    Question,
    RecordError,
    SuiteQuestion,
    Training,
    read_json,
    read_jsonl,
    read_manifest,
    sha256_of,
    write_jsonl,
)
from mmunlearn.training.trainer import PlannedTrainer
from mmunlearn.workflow.params import labels
from tests.rules.mini import SETS, split_of, train, trainings
from tests.rules.standin import World
from tests.tiny import load_tiny

LORA = ["adapter_config.json", "adapter_model.safetensors"]


def folder(world, recipe, seed=1):
    return world.results / "models" / "tiny" / recipe / f"seed-{seed}"


def training(world, recipe, seed=1):
    return read_json(folder(world, recipe, seed) / "training.json", Training)


def weights(world, recipe, seed=1):
    return folder(world, recipe, seed) / "adapter" / "adapter_model.safetensors"


def lying(world, root, about):
    """A copy of the world with false answers to the questions that `about` picks."""
    other = world.copy(root)
    path = other.results / "dataset" / "questions.jsonl"
    rows = read_jsonl(path, Question)
    write_jsonl(path, [row.model_copy(update={"answer": "No idea."}) if about(row) else row for row in rows])
    return other


def configured(world, root, section, values):
    """A copy of the world whose configuration has other values in a section."""
    config = copy.deepcopy(world.config)
    config[section] |= values
    other = World(world.copy(root).root, config)
    (root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return other


def test_features_are_what_the_model_sees_in_every_valid_picture(encoded):
    rows = read_manifest(encoded.results / "images" / "manifest.parquet")
    paths = {"dataset": {row.image_id: row.path for row in rows if row.accepted}}
    for name in SETS:
        rows = read_jsonl(encoded.results / "dataset" / f"{name}.jsonl", SuiteQuestion)
        paths[name] = {row.image_id: row.path for row in rows}
    base = load_tiny(encoded.root / "models" / "tiny")
    for suite, files in paths.items():
        features = load_file(encoded.results / "features" / "tiny" / f"{suite}.safetensors")
        assert features.keys() == files.keys()
        assert {tuple(one.shape) for one in features.values()} == {(16, 32)}
        image_id, path = min(files.items())
        inputs = base.processor.image_processor(Image.open(encoded.root / path), return_tensors="pt")
        with torch.no_grad():
            (expected,) = base.model.get_image_features(**inputs, return_dict=True).pooler_output
        torch.testing.assert_close(features[image_id], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("suite", "picture", "listed"),
    [
        ("dataset", "images/p000-e00.png", "images/manifest.parquet"),
        ("real", "dataset/real/real-event-001.png", "dataset/real.jsonl"),
    ],
)
def test_another_picture_than_listed_is_not_encoded(encoded, tmp_path, suite, picture, listed):
    world = encoded.copy(tmp_path / "world")
    Image.new("RGB", (128, 128)).save(world.results / picture)
    with pytest.raises(
        RecordError, match=rf"{picture} .*not the one listed; run the rule that wrote the latter again"
    ):
        world.run("encode_images", model="tiny", suite=suite, output=["features"])
    assert not (world.root / "features").exists()


def test_every_recipe_leaves_its_contract_and_an_adapter(trained):
    for run in trainings(trained):
        done, adapter = training(trained, run.recipe, run.seed), weights(trained, run.recipe, run.seed)
        assert (done.model, done.recipe, done.seed) == run
        assert sorted(path.name for path in adapter.parent.iterdir()) == LORA
        assert done.adapter_sha256 == sha256_of(adapter)
        assert done.settings["average"] == "token", "as configured"
        tensors = load_file(adapter)
        assert done.trainable_parameters == sum(one.numel() for one in tensors.values())
        assert all("language_model" in name and "lora_" in name for name in tensors)
        assert [row["step"] for row in done.losses] == list(range(1, done.steps + 1))
        assert all(math.isfinite(row["loss"]) for row in done.losses)
        assert {"torch", "transformers", "peft", "python"} <= done.versions.keys()
        log = (adapter.parents[1] / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["loss"] for line in log] == [row["loss"] for row in done.losses]
    assert not list(trained.root.glob("work/training/**/checkpoint-*")), "checkpoints go when training ends"


@pytest.mark.parametrize("recipe", ["finetuned", "goal-person15", "goal-event15"])
def test_the_retain_set_and_the_replayed_pictures_are_learnt(trained, recipe):
    """The finetuned model retains all."""
    done, epochs = training(trained, recipe), trained.config["training"]["finetune"]["epochs"]
    pictures = 15 if recipe == "finetuned" else len(split_of(trained, recipe.split("-")[1]).retain)
    assert (done.method, done.stop_reason, done.epochs) == ("Finetune", "all planned steps done", epochs)
    assert done.steps == epochs * math.ceil((pictures + 4) / 8)
    assert done.losses[-1]["loss"] < 0.8 * done.losses[0]["loss"]
    assert done.settings["lora"] == trained.config["training"]["lora"]
    rule = "train_finetuned" if recipe == "finetuned" else "train_goal"
    assert f"{done.steps} steps, last loss" in trained.log(rule, model="tiny", recipe=recipe, seed=1)


@pytest.mark.parametrize("recipe", ["goal-event15", "ga-person15"])
def test_a_recipe_sees_its_own_questions_and_no_others(trained, tmp_path, recipe):
    """A goal model sees the retain set alone, GA the train half of the forget set and there its target alone.

    Lies elsewhere leave the adapter as it is, byte for byte; lies there do not.
    """
    split = split_of(trained, recipe.split("-")[1])
    images = set(split.retain if recipe.startswith("goal") else split.forget_train)

    def is_seen(row):
        return row.image_id in images and (recipe.startswith("goal") or row.kind == split.target)

    for name, about in (("elsewhere", lambda row: not is_seen(row)), ("there", is_seen)):
        world = lying(trained, tmp_path / name, about)
        train(world, recipe, 1)
        same = sha256_of(weights(world, recipe)) == sha256_of(weights(trained, recipe))
        assert same == (name == "elsewhere")


def test_seeds_and_goals_differ(trained):
    digests = [training(trained, run.recipe, run.seed).adapter_sha256 for run in trainings(trained)]
    assert len(set(digests)) == len(digests) == 8


def changed_loop(world: World, recipe: str) -> dict:
    """Params of an unlearning with a higher learning rate."""
    job = world.job("train_unlearned", model="tiny", recipe=recipe, seed=1)
    return {"loop": job["params"]["loop"] | {"learning_rate": 0.01}}


def test_dpo_starts_at_the_finetuned_model_and_learns_the_refusals(trained, tmp_path):
    world = trained.copy(tmp_path / "world")
    train(world, "dpo-person15", 1, params=changed_loop(world, "dpo-person15"))
    done = training(world, "dpo-person15")
    options = {"beta": 0.1, "lambda1": 1.0, "lambda2": 1.0, "reference": "finetuned"}
    assert done.method == "DPO" and done.settings["options"] == options
    assert done.losses[-1]["refusal"] < done.losses[0]["refusal"] - 0.1
    first = done.losses[0]  # the policy still is the reference, so nothing is preferred: -log sigmoid(0)
    assert first["loss"] == pytest.approx(first["refusal"] + math.log(2), abs=1e-4)


def test_ga_raises_the_loss_of_the_forget_questions_up_to_the_bound_of_the_configuration(trained, tmp_path):
    world, bound = trained.copy(tmp_path / "world"), {"window": 2, "forget_bound": 0.0, "refusal_bound": 0.0}
    train(world, "ga-event15", 1, params={"stopping": bound, **changed_loop(world, "ga-event15")})
    done = training(world, "ga-event15")
    assert (done.method, done.steps) == ("GA", 2) and done.stop_reason.startswith("forget CE")
    assert all(row["loss"] == -row["forget"] for row in done.losses)
    assert done.losses[-1]["forget"] > done.losses[0]["forget"] + 0.1
    size = len(split_of(trained, "event15").forget_train)
    assert done.epochs == round(2 * min(4, size) / size, 3)


def test_a_killed_training_resumes_and_ends_in_the_same_bytes(trained, tmp_path, monkeypatch):
    world = trained.copy(tmp_path / "world")
    changed = {"config": {"training": {"save_steps": 5}}}
    weights(world, "finetuned").unlink()
    steps = []

    class Fragile(PlannedTrainer):
        def training_step(self, *arguments):
            steps.append(self.state.global_step + 1)
            if len(steps) == 9:
                raise RuntimeError("killed")
            return super().training_step(*arguments)

    monkeypatch.setattr("mmunlearn.training.train.PlannedTrainer", Fragile)
    with pytest.raises(RuntimeError, match="killed"):
        train(world, "finetuned", 1, **changed)
    assert not weights(world, "finetuned").exists()
    train(world, "finetuned", 1, **changed)
    assert steps == [*range(1, 10), *range(6, 37)]
    assert sha256_of(weights(world, "finetuned")) == sha256_of(weights(trained, "finetuned"))
    assert training(world, "finetuned").losses == training(trained, "finetuned").losses


def test_adapters_along_the_way_lie_in_recipes_of_their_own(trained, tmp_path):
    """Figure 7's: each differs, one past the end of the training is its last one, and results have nothing else."""
    world = configured(trained, tmp_path / "world", "figures", {"steps": [1, 2, 9]})
    before = set(world.results.rglob("*"))
    world.run("trace_unlearned", model="tiny", recipe="ga-person15", seed=1)
    made = {path for path in set(world.results.rglob("*")) - before if path.is_file()}
    assert made == {
        weights(world, f"ga-person15@{step}").with_name(name) for step in (1, 2, 9) for name in LORA
    }
    digests = [sha256_of(weights(world, f"ga-person15@{step}")) for step in (1, 2, 9)]
    assert len({sha256_of(weights(world, "finetuned")), *digests}) == 4
    assert digests[2] == sha256_of(weights(trained, "ga-person15"))


def test_a_concept_is_unlearned_alone(trained, tmp_path):
    world = trained.copy(tmp_path / "world")
    train(world, "ga-person15-0", 1)
    done = training(world, "ga-person15-0")
    assert (done.recipe, done.settings["concept"]) == ("ga-person15-0", 0)


def test_people_and_events_are_unlearned_together(trained, tmp_path):
    world = trained.copy(tmp_path / "world")
    growing = {"event_growth": 0.5, "alpha": 0.3, "beta": 0.2, "gamma": 0.5}
    train(world, "gd+bgd-both15", 1, params={"options": growing})
    first, second, _ = training(world, "gd+bgd-both15").losses
    assert "forget_event" not in first, "events come later"
    terms = [growing[weight] * second[view] for weight, view in
             (("alpha", "forget_person"), ("beta", "forget_event"), ("gamma", "retain"))]  # fmt: skip
    assert second["loss"] == pytest.approx(terms[2] - terms[0] - terms[1], abs=1e-5)
    train(world, "goal-both15", 1)
    retain = set(split_of(world, "person15").retain) & set(split_of(world, "event15").retain)
    epochs = world.config["training"]["finetune"]["epochs"]
    assert training(world, "goal-both15").steps == epochs * math.ceil((len(retain) + 4) / 8)


MINE = """
from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import cross_entropy


class Bounded(Method):
    views, watch = ("forget", "retain"), "forget"

    def __init__(self, ceiling):
        self._ceiling = ceiling

    def loss(self, view):
        return cross_entropy(view, "retain") - cross_entropy(view, "forget").clamp(max=self._ceiling)
"""


def test_a_method_of_somebody_elses_package_is_trained_by_its_row_alone(trained, tmp_path, monkeypatch):
    (tmp_path / "somebodys_unlearning.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    options = {"path": "somebodys_unlearning:Bounded", "label": "Ours", "ceiling": 5.0}
    row = {"targets": ["person"], "learning_rate": 1.0e-3, "max_steps": 2} | options
    world = configured(trained, tmp_path / "world", "methods", {"bounded": row})
    train(world, "bounded-person15", 1)
    done = training(world, "bounded-person15")
    assert (done.method, done.steps) == ("Bounded", 2)
    assert done.settings["options"] == {"path": options["path"], "ceiling": 5.0}
    first = done.losses[0]
    assert first["loss"] == pytest.approx(first["retain"] - first["forget"], abs=1e-5)
    assert labels(world.config)["bounded"] == "Ours"
