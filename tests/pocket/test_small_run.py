"""A small run that is killed twice on its way and finished, then changed, damaged and repeated in parts."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from mmunlearn.records import read_manifest
from tests.copies import copy_workflow
from tests.pocket.conftest import Run, copy_run

pytestmark = pytest.mark.pocket
SMALL = {
    "scale": "small",
    "curation": {"n_people": 10, "n_events": 10},
    "images": {"people_per_shard": 5, "references_per_event": 3, "min_accepted_share": 0.9},
    "dataset": {"percents": [10], "n_real": 8, "n_world": 8, "n_replay": 8},
    "training": {"finetune": {"epochs": 3}, "save_steps": 5},
    "methods": {"po": {"max_steps": 8}, "ga": {"max_steps": 8}} | dict.fromkeys(("gd", "kl", "dpo")),
    "figures": {"concept_method": "ga"},
    "ceiling_seed": None,
}
LOOSE = {"identity_l2": 2.0, "subject_cosine": -1.0, "aesthetic": 0.0}
GOAL = "results/small/models/pocket-llava/goal-person10/seed-1/training.json"


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outputs(run: Run) -> dict[str, str]:
    """Checksums of the manifest, the tables and every adapter."""
    files = [run.results / "images" / "manifest.parquet", *sorted((run.results / "tables").iterdir())]
    files += sorted(run.results.rglob("adapter_model.safetensors"))
    return {path.relative_to(run.results).as_posix(): digest(path) for path in files}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All phases, little of everything: a shard is killed, then a training; each goes on where it was."""
    run = Run(copy_workflow(tmp_path_factory.mktemp("small") / "run"), SMALL)
    draws = run.folder / "work" / "draws"
    run.kill_when(lambda: len(list(draws.glob("*/p*/a*.png"))) > 20, "draw")
    before = {path: path.stat().st_mtime_ns for path in draws.glob("*/p*/a*.png")}
    run("draw")
    assert before and all(path.stat().st_mtime_ns == time for path, time in before.items()), (
        "nothing is drawn twice"
    )
    checkpoints = run.folder / "work" / "training"
    run.kill_when(lambda: any(checkpoints.rglob("checkpoint-*/trainer_state.json")), GOAL)
    assert not (run.folder / GOAL).exists()
    run()
    return run


def test_a_killed_run_leaves_what_an_unbroken_one_does(small, tmp_path):
    """Pictures are drawn again in other shards, and the killed model is trained again in one piece."""
    expected, again = outputs(small), copy_run(small, tmp_path / "again")
    shutil.rmtree(again.folder / "work")
    shutil.rmtree(again.results / "images")
    shutil.rmtree((again.folder / GOAL).parent)
    again.configure(images=SMALL["images"] | {"people_per_shard": 4})
    again("draw")
    again(GOAL)
    assert outputs(again) == expected


def test_a_changed_rate_retrains_one_method_and_nothing_else(small):
    small.configure(methods={**SMALL["methods"], "ga": {"max_steps": 8, "learning_rate": 1.0e-5}})
    try:
        plan = small.planned()
    finally:
        small.configure()
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


def test_a_lost_model_is_made_again_when_it_is_asked_for(small):
    """Snakemake does not miss a file whose consumers are up to date, so the phase is named."""
    expected = outputs(small)
    shutil.rmtree(small.results / "models" / "pocket-llava" / "ga-event10" / "seed-1")
    small("train")
    assert outputs(small) == expected
    small()
    assert "Nothing to be done" in small()
