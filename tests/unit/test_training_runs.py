"""Training runs: whose questions they learn and forget, what identifies them, and the files that they leave."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Snakemake, Wildcards

from mmunlearn import digests, spool
from mmunlearn.ids import Run
from mmunlearn.interrupts import Stopped, stopping
from mmunlearn.records import Training, read_json, sha256_of, write_json
from mmunlearn.training import run as run_module
from mmunlearn.training import train as training
from mmunlearn.training.sets import read_sets, retained
from mmunlearn.training.train import take_steps, trace, train
from mmunlearn.workflow.job import job
from tests.unit.training_fixtures import PICTURES, WEIGHTS, trainer_of, unlearning

ROOT = Path(__file__).parents[2]


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
        trainer_of(run)


# Files


def test_adapters_along_the_way_are_those_of_the_whole_run(finetuned, tmp_path):
    """Step 0 is where training starts. Where it stops early, its last adapter stands for all later steps, once."""
    stops = {"window": 3, "forget_bound": 0.0, "refusal_bound": 0.0}
    run = unlearning(finetuned, tmp_path / "work", "gd-person50", schedule="cosine", stopping=stops)
    train(run, tmp_path / "training.json")
    assert read_json(tmp_path / "training.json", Training).steps == 3
    folders = {step: tmp_path / f"at-{step}" for step in (0, 1, 2, 3, 16, 32)}
    trace(run, folders)
    at = {step: sha256_of(folder / WEIGHTS) for step, folder in folders.items()}
    assert at[0] == sha256_of(finetuned / "adapter" / WEIGHTS)
    assert len({at[0], at[1], at[2], at[3]}) == 4
    assert at[3] == sha256_of(tmp_path / "adapter" / WEIGHTS)
    assert all((folders[32] / WEIGHTS).samefile(folders[step] / WEIGHTS) for step in (3, 16))
    assert not (folders[0] / WEIGHTS).samefile(finetuned / "adapter" / WEIGHTS)
    for folder in folders.values():
        assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", WEIGHTS]
    early = {1: tmp_path / "early-1"}
    trace(run, early)
    assert sha256_of(early[1] / WEIGHTS) == at[1]
    steps, losses = take_steps(run, tmp_path / "work" / "again", [1])
    assert steps == len(losses) == 2, "the step after the last one shows that its loss is finite"
    assert not list((tmp_path / "work" / "training").rglob("checkpoint-*")), (
        "checkpoints go when training ends"
    )
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(("at-", "early"))) == [
        "adapter", "steps.jsonl", "training.json", "work",
    ]  # fmt: skip


def test_a_step_whose_loss_is_not_finite_has_the_last_good_adapter(finetuned, tmp_path, monkeypatch):
    """Also where it is the last one asked for. Where no link can be made, there is a copy."""

    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr("os.link", refuse)
    run = unlearning(finetuned, tmp_path / "work", learning_rate=1e30)
    trace(run, {1: tmp_path / "at-1"})
    assert take_steps(run, tmp_path / "again", [0, 1])[0] == 0
    assert sha256_of(tmp_path / "again/step-0" / WEIGHTS) == sha256_of(finetuned / "adapter" / WEIGHTS)
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


# What outlives a job


def ended_early(monkeypatch, patched, run, output):
    """How a job ends; as Snakemake does, its outputs are removed."""
    ended = None
    with monkeypatch.context() as context:
        patched(context)
        try:
            with stopping():
                train(run, output)
        except KeyboardInterrupt as error:
            ended = error
    for path in (output, output.with_name("steps.jsonl"), output.parent / "adapter" / WEIGHTS):
        path.unlink(missing_ok=True)
    return ended


def told_at_the_last_step(context):
    step = training.PlannedTrainer.training_step

    def told(self, *arguments):
        if self.state.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    context.setattr(training.PlannedTrainer, "training_step", told)


def told_before_its_record(context):
    def told(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        write_json(*arguments)

    context.setattr(training, "write_json", told)


def killed_before_its_outputs(context):
    context.setattr(spool.Spool, "deliver", lambda self: (_ for _ in ()).throw(KeyboardInterrupt("kill -9")))


@pytest.mark.parametrize("end", [told_at_the_last_step, told_before_its_record, killed_before_its_outputs])
def test_a_job_that_ends_in_its_trainings_last_second_costs_no_step(finetuned, tmp_path, monkeypatch, end):
    """By a time limit, of which a signal tells, or at once. The rerun loads no model and leaves what was trained."""
    run, output = unlearning(finetuned, tmp_path / "work", dropout=0.05), tmp_path / "out" / "training.json"
    ended = ended_early(monkeypatch, end, run, output)
    assert type(ended) is (KeyboardInterrupt if end is killed_before_its_outputs else Stopped)
    monkeypatch.setattr(training, "planned_trainer", lambda *_: pytest.fail("a step is done again"))
    train(run, output)
    assert output.with_name("steps.jsonl").read_text().count("\n") == 6
    monkeypatch.undo()
    train(replace(run, work=tmp_path / "other"), tmp_path / "unbroken" / "training.json")
    done, unbroken = (read_json(tmp_path / name / "training.json", Training) for name in ("out", "unbroken"))
    assert done.losses == unbroken.losses and done.adapter_sha256 == unbroken.adapter_sha256
    assert sha256_of(output.parent / "adapter" / WEIGHTS) == done.adapter_sha256
    spool.release(spool.finished(run.work, [output]))
    assert not list((run.work / "training").iterdir())


def test_adapters_along_the_way_are_not_made_twice_either(finetuned, tmp_path, monkeypatch):
    run, folders = (
        unlearning(finetuned, tmp_path / "work", max_steps=3),
        {0: tmp_path / "0", 2: tmp_path / "2"},
    )
    trace(run, folders)
    before = {step: sha256_of(folder / WEIGHTS) for step, folder in folders.items()}
    for folder in folders.values():
        shutil.rmtree(folder)
    monkeypatch.setattr(training, "planned_trainer", lambda *_, **__: pytest.fail("a step is done again"))
    trace(run, folders)
    assert {step: sha256_of(folder / WEIGHTS) for step, folder in folders.items()} == before


@pytest.mark.parametrize("edited", ["losses.py", "ga.py", "base.py"])
def test_a_checkpoint_of_an_edited_method_is_not_taken_up(finetuned, tmp_path, monkeypatch, edited):
    run, plain = unlearning(finetuned, tmp_path), sha256_of
    before = run.identity
    monkeypatch.setattr(run_module, "sha256_of", lambda path: "new" if path.name == edited else plain(path))
    assert replace(run).identity != before


JOB = """
import sys, time
from pathlib import Path
from mmunlearn.training import train as training
from tests.unit.test_training_runs import train_as_a_job

step = training.PlannedTrainer.training_step

def holding(self, *arguments):
    while self.state.global_step == 3 and Path("held").exists():
        time.sleep(0.02)
    return step(self, *arguments)

training.PlannedTrainer.training_step = holding
train_as_a_job(Path(sys.argv[1]))
"""


def train_as_a_job(inputs):
    """As a workflow script does, in the folder at hand."""
    config, output = {"training": {"workers": 0}}, OutputFiles(["results/training.json"])
    snakemake = Snakemake(
        InputFiles(), output, Params(), Wildcards(), 1, ResourceList(), Log(), config, "train", None
    )
    with job(snakemake) as it:
        train(unlearning(inputs, it.work, dropout=0.05), it.output[0])


@pytest.mark.parametrize("killed", [False, True])
def test_of_two_jobs_that_train_the_same_one_waits(finetuned, tmp_path, killed, monkeypatch, caplog):
    """As after kill -9 of Snakemake, `--unlock` and a rerun, which removes what the first job has written so far. It
    then ends, or is killed, too: either way every step is done once, and all ends as an undisturbed run."""
    caplog.set_level(logging.INFO, logger="mmunlearn")
    monkeypatch.chdir(tmp_path)
    held, output = Path("held"), tmp_path / "results"
    held.touch()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    first = subprocess.Popen([sys.executable, "-c", JOB, str(finetuned)], env=environment)

    def wait_for(there):
        end = time.monotonic() + 120
        while not there() and time.monotonic() < end and first.poll() is None:
            time.sleep(0.05)

    def end_the_first():
        wait_for(lambda: "results/training.json is being made by process" in caplog.text)
        if killed:
            first.kill()
        held.unlink()

    steps = output / "steps.jsonl"
    wait_for(lambda: steps.exists() and steps.read_text().count("\n") == 3)
    steps.unlink()
    other = threading.Thread(target=end_the_first)
    other.start()
    train_as_a_job(finetuned)
    other.join()
    assert first.wait() == (-signal.SIGKILL if killed else 0)
    assert ("finished before" in caplog.text) == (not killed)
    assert ("that process has ended; the claim" in caplog.text) == killed
    train(unlearning(finetuned, tmp_path / "other", dropout=0.05), tmp_path / "unbroken" / "training.json")
    rows = [json.loads(line) for line in (output / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in ("adapter/adapter_config.json", f"adapter/{WEIGHTS}"):
        assert (output / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
    done, unbroken = (
        read_json(tmp_path / name / "training.json", Training) for name in ("results", "unbroken")
    )
    assert done.losses == unbroken.losses and done.settings == unbroken.settings
    assert not list((tmp_path / "work" / "claims").iterdir())
