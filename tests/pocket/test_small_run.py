"""A small run that is changed, damaged, killed and repeated."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from mmunlearn.records import read_manifest
from tests.pocket.conftest import SMALL, Run

pytestmark = pytest.mark.pocket
LOOSE = {"identity_l2": 2.0, "subject_cosine": -1.0, "aesthetic": 0.0}


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outputs(run: Run) -> dict[str, str]:
    """Checksums of the manifest, the tables and every adapter."""
    found = [run.results / "images" / "manifest.parquet", *sorted((run.results / "tables").iterdir())]
    found += sorted(run.results.rglob("adapter_model.safetensors"))
    return {path.relative_to(run.results).as_posix(): digest(path) for path in found}


@pytest.fixture(scope="session")
def repeated(small, tmp_path_factory) -> Run:
    """The same run again, with other shards, a shard killed and a training job killed on the way."""
    run = Run(tmp_path_factory.mktemp("repeated") / "run", SMALL)
    run.configure(images=SMALL["images"] | {"people_per_shard": 4})
    drawn = run.folder / "work" / "draws"
    run.kill_when(
        lambda: len(list(drawn.glob("*/p*/a*.png"))) > 20, "draw"
    )  # whole units, none being written
    before = {path: path.stat().st_mtime_ns for path in drawn.glob("*/p*/a*.png")}
    assert before
    run("draw")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "nothing is drawn twice"
    goal = "results/small/models/pocket-llava/goal-person10/seed-1/training.json"
    training = run.folder / "work" / "training"
    run.kill_when(lambda: any(training.rglob("checkpoint-*/trainer_state.json")), goal)
    assert not (run.folder / goal).exists()
    run()
    return run


def test_killed_jobs_and_other_shards_end_with_equal_digests(small, repeated):
    assert outputs(repeated) == outputs(small)


def test_a_changed_rate_retrains_one_method_and_nothing_else(small):
    small.configure(methods={**SMALL["methods"], "ga": {"max_steps": 8, "learning_rate": 1.0e-5}})
    try:
        plan = small.planned()
    finally:
        small.configure()
    assert plan["train_traced"] == 2, "person and event"
    assert "train_finetuned" not in plan and "train_goal" not in plan and "draw_shard" not in plan


def test_a_changed_threshold_decides_anew_and_draws_only_what_it_must(small):
    drawn = set((small.folder / "work" / "draws").rglob("*.png"))
    before = read_manifest(small.results / "images" / "manifest.parquet")
    small.configure(images=SMALL["images"] | {"thresholds": LOOSE})
    try:
        small("draw")
        after = read_manifest(small.results / "images" / "manifest.parquet")
        assert len(after) < len(before), "fewer attempts are needed when more passes"
        assert not any("identity" in row.reject_reason or "subject" in row.reject_reason for row in after)
        assert set((small.folder / "work" / "draws").rglob("*.png")) == drawn, (
            "a lower threshold draws nothing"
        )
    finally:
        small.configure()
        small()


def test_a_lost_model_is_made_again_when_it_is_asked_for(small):
    """Snakemake does not miss a file whose consumers are up to date, so the phase is named."""
    expected = outputs(small)
    shutil.rmtree(small.results / "models" / "pocket-llava" / "kl-event10" / "seed-1")
    small("train")
    assert outputs(small) == expected
    small()
    assert "Nothing to be done" in small()
