"""Recipes from files to files: whose questions they forget, adapters along the way, kill and resume."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmunlearn.records import Training, read_json, sha256_of, write_json
from mmunlearn.training import courses
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.recipes import train_unlearned
from mmunlearn.training.sets import read_sets, retained
from mmunlearn.training.settings import LoopSettings, Machine
from tests.unit.training_fixtures import PICTURES, job_of, make_finetuned, write_files

WEIGHTS = "adapter_model.safetensors"
REACHED = {"window": 2, "forget_bound": 0.0, "refusal_bound": 0.0}


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    return make_finetuned(tmp_path_factory.mktemp("finetuned"))


@pytest.fixture
def files(finetuned, tmp_path):
    return write_files(tmp_path, finetuned)


def ids(examples):
    return sorted({one.image_id for one in examples})


def test_one_target_forgets_its_own_questions_and_keeps_all_of_the_others(files, tmp_path):
    sets = read_sets(files["questions"], [tmp_path / "person50.json"])
    assert ids(sets.person) == ["p000-e00", "p000-e02", "p001-e01"] and sets.event == []
    assert all("Ada" in answer for one in sets.person for _, answer in one.turns)
    assert ids(sets.retain) == [one.image_id for one in PICTURES if one.image_id[:4] in ("p002", "p003")]
    assert all(len(one.turns) == 2 for one in sets.retain)


def test_both_targets_forget_each_its_own_and_keep_what_neither_forgets(files, tmp_path):
    splits = [tmp_path / "person50.json", tmp_path / "event50.json"]
    sets = read_sets(files["questions"], splits)
    assert ids(sets.person) == ["p000-e00", "p000-e02", "p001-e01"]
    assert ids(sets.event) == ["p000-e00", "p002-e00"]
    assert all("Sailors" in answer for one in sets.event for _, answer in one.turns)
    kept = ["p002-e01", "p002-e02", "p003-e01", "p003-e02"]
    assert ids(sets.retain) == kept == sorted(retained(splits)), "the goal model sees no more"
    assert retained([]) is None


def test_a_concept_alone_leaves_the_others_of_its_split_out(files, tmp_path):
    sets = read_sets(files["questions"], [tmp_path / "person50.json"], concept=1)
    assert ids(sets.person) == ["p001-e01"]
    assert not any(one.image_id.startswith(("p000", "p001")) for one in sets.retain)


def test_impossible_sets_are_refused(files, tmp_path):
    person, event = tmp_path / "person50.json", tmp_path / "event50.json"
    with pytest.raises(ValueError, match=r"concept 2 .* forgets 2 concepts; name one from 0 to 1"):
        read_sets(files["questions"], [person], concept=2)
    with pytest.raises(ValueError, match="name one split of one target"):
        read_sets(files["questions"], [person, event], concept=0)
    for splits in ([], [person, person]):
        with pytest.raises(ValueError, match="Name each target once"):
            read_sets(files["questions"], splits)
    everything = json.loads(person.read_text()) | {"retain": []}
    write_json(tmp_path / "all.json", everything)
    with pytest.raises(ValueError, match="3 of person to forget and 0 pictures to keep"):
        read_sets(files["questions"], [tmp_path / "all.json"])


def test_adapters_along_the_way(files, finetuned, tmp_path):
    """Step 0 is where training starts; where it stops early, its last adapter stands for all later steps."""
    job, kept = (
        job_of(tmp_path / "out", finetuned, files),
        {k: tmp_path / f"at-{k}" for k in (0, 1, 2, 3, 32)},
    )
    train_unlearned(job, **files | {"stopping": REACHED | {"window": 3}}, kept=kept)
    assert read_json(job.output, Training).steps == 3
    at = {step: sha256_of(folder / WEIGHTS) for step, folder in kept.items()}
    assert at[0] == sha256_of(finetuned[1] / WEIGHTS)
    assert len({at[0], at[1], at[2], at[3]}) == 4
    assert at[3] == at[32] == sha256_of(job.adapter / WEIGHTS)
    for folder in kept.values():
        assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", WEIGHTS]
    assert not list(job.work.glob("training/*")), "checkpoints go when training ends"


def test_a_killed_job_resumes_with_its_kept_adapters_and_its_log(files, finetuned, tmp_path, monkeypatch):
    """Snakemake removes a killed job's outputs: all that was kept comes back, byte for byte."""
    files["settings"] |= {"save_steps": 3, "learning_rate": 1e-3}
    files |= {"method": "npo", "max_steps": 5}

    def train(name):
        job, kept = (
            job_of(tmp_path / name, finetuned, files),
            {k: tmp_path / name / f"at-{k}" for k in (1, 4)},
        )
        train_unlearned(job, **files, kept=kept)
        return job, [sha256_of(folder / WEIGHTS) for folder in (job.adapter, *kept.values())]

    whole, expected = train("whole")

    class Fragile(courses.PlannedTrainer):
        def training_step(self, *arguments):
            if self.state.global_step == 4:
                raise RuntimeError("killed")
            return super().training_step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(courses, "PlannedTrainer", Fragile)
        with pytest.raises(RuntimeError, match="killed"):
            train("killed")
    assert (tmp_path / "killed" / "steps.jsonl").read_text().count("\n") == 4
    (tmp_path / "killed" / "steps.jsonl").unlink()
    resumed, found = train("killed")
    assert found == expected
    rows = [
        [json.loads(line) for line in job.watching.steps.read_text().splitlines()] for job in (whole, resumed)
    ]
    for row in rows[0] + rows[1]:
        del row["seconds"], row["memory_gb"]
    assert rows[0] == rows[1] and [row["step"] for row in rows[1]] == [1, 2, 3, 4, 5]
    assert read_json(resumed.output, Training).losses == read_json(whole.output, Training).losses


def test_epochs_cap_the_steps(files, finetuned, tmp_path):
    job = job_of(tmp_path / "out", finetuned, files)
    train_unlearned(job, **files, epochs=2)
    done = read_json(job.output, Training)
    assert (done.steps, done.epochs, done.settings["max_epochs"]) == (2, 2.0, 2)


def test_all_examples_are_checked_before_training_starts(files, finetuned, tmp_path, monkeypatch):
    checked = []
    monkeypatch.setattr(courses.Collator, "check", lambda self, examples: checked.extend(examples))
    monkeypatch.setattr(
        courses, "PlannedTrainer", lambda *_, **__: pytest.fail(f"{len(checked)} examples checked")
    )
    with pytest.raises(pytest.fail.Exception, match="9 examples checked"):
        train_unlearned(
            job_of(tmp_path / "out", finetuned, files), **files | {"method": "gd", "max_steps": 20}
        )


def test_what_shapes_the_result_decides_whether_a_checkpoint_is_taken_up(files, finetuned, tmp_path):
    course = courses.Course(
        job_of(tmp_path / "out", finetuned, files), Machine(), build_method("ga", {}), [],
        LoopSettings(**files["settings"], seed=1), [files["questions"]], {}, 3, start=finetuned[1],
    )  # fmt: skip
    same = replace(course, machine=Machine(processes=4, checkpointing=True, trackers=("wandb",)))
    assert same.identity == course.identity
    others = [
        replace(course, machine=Machine(precision="bf16")),
        replace(course, method=build_method("simnpo", {})),
        replace(course, loop=replace(course.loop, learning_rate=1.0)),
        replace(course, kept={1: tmp_path}),
        replace(course, job=replace(course.job, seed=2)),
        replace(course, inputs=[files["refusals"]]),
    ]
    assert len({course.identity, *(one.identity for one in others)}) == 7
