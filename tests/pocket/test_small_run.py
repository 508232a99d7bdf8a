"""The small run, changed and repeated in parts."""

from __future__ import annotations

import shutil

import pytest

from mmunlearn.records import read_manifest
from tests.small import SMALL, Run, copy_run, outputs, small_run

pytestmark = pytest.mark.pocket
LOOSE = {"identity_l2": 2.0, "subject_cosine": -1.0, "aesthetic": 0.0}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory)


def test_a_changed_rate_retrains_one_method_and_nothing_else(small, tmp_path):
    run = copy_run(small, tmp_path / "rate")
    run.configure(methods={**SMALL["methods"], "ga": {"max_steps": 8, "learning_rate": 1.0e-5}})
    plan = run.planned()
    assert plan["train_unlearned"] == 2, "person and event"
    assert "train_finetuned" not in plan and "train_goal" not in plan and "draw_shard" not in plan


def test_a_changed_threshold_decides_anew_and_draws_only_what_it_must(small, tmp_path):
    run = copy_run(small, tmp_path / "loose")
    draws = run.folder / "work" / "draws"
    pictures = set(draws.rglob("*.png"))
    before = read_manifest(run.results / "images" / "manifest.parquet")
    run.configure(images=SMALL["images"] | {"thresholds": LOOSE})
    run("draw")
    after = read_manifest(run.results / "images" / "manifest.parquet")
    assert len(after) < len(before), "fewer attempts are needed when more passes"
    assert not any("identity" in row.reject_reason or "subject" in row.reject_reason for row in after)
    assert set(draws.rglob("*.png")) == pictures, "a lower threshold draws nothing"


def test_a_lost_model_is_made_again_when_it_is_asked_for(small, tmp_path):
    """Snakemake does not miss a file whose consumers are up to date, so the phase is named."""
    run = copy_run(small, tmp_path / "lost")
    shutil.rmtree(run.results / "models" / "pocket-llava" / "ga-event10" / "seed-1")
    run("train")
    assert outputs(run) == outputs(small)
    run()
    assert "Nothing to be done" in run()
