"""The pocket world: the truth about its defects; scorers and base model made from nothing, shrunken."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mmunlearn.pocket import calibration, scorer_training
from mmunlearn.pocket.generator import PocketGenerator
from mmunlearn.pocket.scorers import PocketScorers
from mmunlearn.records import Prompt, Truth, read_jsonl, read_manifest, sha256_of
from mmunlearn.synthesis.generate import DrawRequest
from mmunlearn.workflow.data_params import THRESHOLDS
from tests.rules.standin import ROOT
from tests.tiny import load_tiny


@pytest.fixture
def torch_settings():
    """Training from nothing sets threads and determinism of its whole process; here they are set back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_the_truth_names_the_pictures_that_a_faultless_generator_draws_otherwise(drawn):
    prompts = {row.image_id: row for row in read_jsonl(drawn.results / "curation" / "prompts.jsonl", Prompt)}
    images, settings = drawn.results / "images", drawn.config["images"]
    rows, truth = read_manifest(images / "manifest.parquet"), read_jsonl(images / "truth.jsonl", Truth)
    faultless = PocketGenerator(
        list(prompts.values()), {"defect_rate": 0.0}, seed=drawn.config["seed"], work=drawn.root
    )
    assert [(row.image_id, row.attempt) for row in truth] == [(row.image_id, row.attempt) for row in rows]
    assert set(Counter(row.defect for row in truth)) == {"", "identity", "scene", "blur", "noise", "cutoff"}
    for row, planted in zip(rows, truth, strict=True):
        request = DrawRequest.make(
            prompts[row.image_id], row.attempt, base_seed=drawn.config["seed"],
            guidance_scales=settings["guidance_scales"], size=settings["size"],
        )  # fmt: skip
        ideal = np.asarray(faultless.draw([request])[0])
        assert np.array_equal(np.asarray(Image.open(drawn.root / row.path)), ideal) == (planted.defect == "")


def test_scorers_are_trained_and_calibrated_from_nothing(curated, tmp_path, monkeypatch, torch_settings):
    world = curated.copy(tmp_path / "world")
    steps = {"subject": 20, "face": 2, "scene": 2}  # without a head found, there is no face to calibrate on
    few = partial(scorer_training.train_scorers, steps=steps, pictures=16)
    monkeypatch.setattr(scorer_training, "train_scorers", few)
    monkeypatch.setattr(calibration, "calibrate", partial(calibration.calibrate, people=2, events=2))
    world.run("train_scorers")
    world.run("calibrate_scorers")
    folder = world.root / "results" / "pocket-models" / "scorers"
    card, limits = (json.loads((folder / f"{name}.json").read_text()) for name in ("card", "calibration"))
    assert card["weights_sha256"] == {name: sha256_of(folder / f"{name}.safetensors") for name in steps}
    assert (card["seed"], card["threads"], card["settings"]["steps"]) == (0, 1, steps)
    assert card["scorers"] == limits["scorers"] == PocketScorers({"weights": folder}).version
    assert limits["thresholds"].keys() == set(THRESHOLDS) and limits["pictures"] == 4
    assert "subject: 20 steps" in world.log("train_scorers")


def test_the_base_model_is_pretrained_from_nothing(curated, tmp_path, torch_settings):
    world = curated.copy(tmp_path / "world")
    shipped = yaml.safe_load((ROOT / "resources" / "pocket" / "pretraining.yaml").read_text(encoding="utf-8"))
    shipped["sizes"] |= {"vision_width": 16, "vision_layers": 1, "text_width": 16, "text_layers": 1}
    shipped["pools"] |= {"pictures": 8, "held_out": 4, "sides": [96]}
    for stage in ("tower", "language", "continuation"):
        shipped[stage] |= {"steps": 2, "batch": 2}
    settings = tmp_path / "tiny.yaml"
    settings.write_text(yaml.safe_dump(shipped), encoding="utf-8")
    world.run("pretrain_model", params={"settings": settings})
    folder = world.root / "results" / "pocket-models" / "llava"
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["settings"] == shipped
    assert card["files"]["model.safetensors"] == sha256_of(folder / "model.safetensors")
    assert load_tiny(folder).model.config.text_config.hidden_size == 16
    assert list(world.root.glob("work/pocket-pretraining/*")), "what a killed run resumes from lies in work/"
