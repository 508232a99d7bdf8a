"""Training runs: whose questions they learn and forget, what identifies them, and the files that they leave."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from mmunlearn import digests
from mmunlearn.ids import Run
from mmunlearn.records import Training, read_json, sha256_of, write_json
from mmunlearn.training import train as training
from mmunlearn.training.sets import read_sets, retained
from mmunlearn.training.train import planned_trainer, trace, train
from tests.unit.training_fixtures import PICTURES, WEIGHTS, unlearning


def pictures(examples):
    return sorted({one.image_id for one in examples})


# Sets


def test_one_target_forgets_its_own_questions_and_keeps_all_of_the_others(finetuned):
    sets = read_sets(finetuned / "questions.jsonl", [finetuned / "person50.json"])
    assert pictures(sets.person) == ["p000-e00", "p000-e02", "p001-e00", "p001-e02"] and sets.event == []
    assert all("Ada" in answer for one in sets.person for _, answer in one.turns)
    assert pictures(sets.retain) == [one.image_id for one in PICTURES if one.image_id[:4] in ("p002", "p003")]
    assert all(len(one.turns) == 2 for one in sets.retain)


def test_both_targets_forget_each_its_own_and_keep_what_neither_forgets(finetuned):
    splits = [finetuned / "person50.json", finetuned / "event50.json"]
    sets = read_sets(finetuned / "questions.jsonl", splits)
    assert pictures(sets.person) == ["p000-e00", "p000-e02", "p001-e00", "p001-e02"]
    assert pictures(sets.event) == ["p000-e00", "p002-e00"]
    assert all("Sailors" in answer for one in sets.event for _, answer in one.turns)
    expected = [f"p{p:03d}-e{e:02d}" for p in (2, 3) for e in (1, 2, 3)]
    assert pictures(sets.retain) == expected == sorted(retained(splits)), "the goal model sees no more"
    assert retained([]) is None


def test_a_concept_alone_leaves_the_others_of_its_split_out(finetuned, tmp_path):
    sets = unlearning(finetuned, tmp_path, "ga-person50-1").sets
    assert pictures(sets.person) == ["p001-e00", "p001-e02"]
    assert not any(one.image_id.startswith(("p000", "p001")) for one in sets.retain)


def test_impossible_sets_are_refused(finetuned, tmp_path):
    questions, person, event = (
        finetuned / name for name in ("questions.jsonl", "person50.json", "event50.json")
    )
    with pytest.raises(ValueError, match=r"concept 2 .* forgets 2 concepts; name one from 0 to 1"):
        read_sets(questions, [person], concept=2)
    with pytest.raises(ValueError, match="name one split of one target"):
        read_sets(questions, [person, event], concept=0)
    for splits in ([], [person, person]):
        with pytest.raises(ValueError, match="Name each target once"):
            read_sets(questions, splits)
    write_json(tmp_path / "all.json", json.loads(person.read_text()) | {"retain": []})
    with pytest.raises(ValueError, match="4 of person to forget and 0 pictures to keep"):
        read_sets(questions, [tmp_path / "all.json"])


# Descriptions


def test_a_plan_draws_on_all_refusals_and_retained_pictures_for_as_many_epochs(finetuned, tmp_path):
    run = unlearning(finetuned, tmp_path, "po-person50", max_steps=20, epochs=5)
    assert len(run.plan) == 5 and run.recorded["max_epochs"] == 5
    assert len(replace(run, epochs=None).plan) == 20
    assert pictures(one for step in run.plan for one in step["retain"]) == pictures(run.sets.retain)
    assert {answer for step in run.plan for one in step["refusal"] for _, answer in one.turns} == {
        "I do not know.", "I cannot say.",
    }  # fmt: skip


def test_what_shapes_the_result_decides_whether_a_checkpoint_is_taken_up(finetuned, tmp_path):
    run = unlearning(finetuned, tmp_path)
    same = replace(
        run,
        processes=4,
        workers=2,
        checkpointing=True,
        trackers=("wandb",),
        save_steps=1,
        work=tmp_path / "new",
    )
    assert same.identity == run.identity
    others = [
        replace(run, precision="bf16"),
        replace(run, run=Run("tiny", "simnpo-person50", 1)),
        replace(run, run=Run("tiny", "ga-person50", 2)),
        replace(run, loop={**run.loop, "learning_rate": 1.0}),
        replace(run, loop={**run.loop, "average": "token"}),
        replace(run, version=2),
        replace(run, stopping={**run.stopping, "window": 2}),
        replace(run, questions=run.refusals),
    ]
    assert len({run.identity, *(one.identity for one in others)}) == 9


def test_a_base_counts_by_its_bytes_and_nothing_large_is_read_once_it_is_known(
    finetuned, tmp_path, monkeypatch
):
    """Every process of a training finds the checksums that the first one has taken; features are never read."""
    for name in ("tiny", "moved"):
        shutil.copytree(finetuned / "tiny", tmp_path / name)
        for path in tmp_path.joinpath(name).iterdir():
            os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(digests, "SMALL", 0)
    monkeypatch.setattr(digests, "FRESH", 0)
    read, sums = [], digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path.name) or sums(path))

    def identity(folder):
        run = unlearning(finetuned, tmp_path / "work")
        return replace(run, spec={**run.spec, "source": str(tmp_path / folder)}).identity

    first = identity("tiny")
    assert "model.safetensors" in read and "features.safetensors" not in read
    read.clear()
    assert identity("tiny") == first and read == []
    assert identity("moved") == first
    weights = tmp_path / "moved" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert identity("moved") != first


def test_examples_are_checked_before_training_starts(finetuned, tmp_path):
    features = load_file(finetuned / "features.safetensors")
    del features["p003-e03"]
    save_file(features, tmp_path / "features.safetensors")
    run = unlearning(finetuned, tmp_path, "gd-person50", features=[tmp_path / "features.safetensors"])
    assert "p003-e03" not in pictures(run.plan[0]["retain"])
    with pytest.raises(ValueError, match="features of picture p003-e03 are asked for"):
        planned_trainer(run)


# Files


def test_adapters_along_the_way_are_those_of_the_whole_run(finetuned, tmp_path):
    """Step 0 is where training starts. Where it stops early, its last adapter stands for all later steps, once."""
    stops = {"window": 3, "forget_bound": 0.0, "refusal_bound": 0.0}
    run = unlearning(finetuned, tmp_path / "work", "gd-person50", schedule="cosine", stopping=stops)
    train(run, tmp_path / "training.json")
    assert read_json(tmp_path / "training.json", Training).steps == 3
    folders = {step: tmp_path / f"at-{step}" for step in (0, 1, 2, 3, 16, 32)}
    assert trace(run, folders)[0] == 3
    at = {step: sha256_of(folder / WEIGHTS) for step, folder in folders.items()}
    assert at[0] == sha256_of(finetuned / "adapter" / WEIGHTS)
    assert len({at[0], at[1], at[2], at[3]}) == 4
    assert at[3] == sha256_of(tmp_path / "adapter" / WEIGHTS)
    assert all((folders[32] / WEIGHTS).samefile(folders[step] / WEIGHTS) for step in (3, 16))
    assert not (folders[0] / WEIGHTS).samefile(finetuned / "adapter" / WEIGHTS)
    for folder in folders.values():
        assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", WEIGHTS]
    early = {1: tmp_path / "early-1"}
    steps, losses = trace(run, early)
    assert sha256_of(early[1] / WEIGHTS) == at[1]
    assert steps == len(losses) == 2, "the step after the last one shows that its loss is finite"
    assert not list((tmp_path / "work" / "training").iterdir()), "checkpoints go when training ends"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(("at-", "early"))) == [
        "adapter", "steps.jsonl", "training.json", "work",
    ]  # fmt: skip


def test_a_step_whose_loss_is_not_finite_has_the_last_good_adapter(finetuned, tmp_path, monkeypatch):
    """Also where it is the last one asked for. Where no link can be made, there is a copy."""

    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr("os.link", refuse)
    assert trace(unlearning(finetuned, tmp_path / "work", learning_rate=1e30), {1: tmp_path / "at-1"})[0] == 0
    last_good, start = (load_file(folder / WEIGHTS) for folder in (tmp_path / "at-1", finetuned / "adapter"))
    assert all((last_good[name] == value).all() for name, value in start.items())


def test_a_killed_job_resumes_with_the_adapters_that_it_has_saved(finetuned, tmp_path, monkeypatch):
    """Snakemake removes a killed job's outputs: they come back, byte for byte."""

    def traced(name):
        run = unlearning(finetuned, tmp_path / name, "npo-person50", save_steps=3, dropout=0.05)
        folders = [tmp_path / name / f"at-{step}" for step in (1, 4)]
        trace(run, dict(zip((1, 4), folders, strict=True)))
        return [sha256_of(folder / WEIGHTS) for folder in folders]

    class Fragile(training.PlannedTrainer):
        def training_step(self, *arguments):
            if self.state.global_step == 3:
                raise RuntimeError("killed")
            return super().training_step(*arguments)

    expected = traced("whole")
    with monkeypatch.context() as patched:
        patched.setattr(training, "PlannedTrainer", Fragile)
        with pytest.raises(RuntimeError, match="killed"):
            traced("killed")
    assert traced("killed") == expected
