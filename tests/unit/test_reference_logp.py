"""Reference log-probabilities: computed once, equal to those of the first step, no reference in the loop."""

from __future__ import annotations

import shutil
import threading
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmunlearn.models.collate import forward
from mmunlearn.models.loading import ADAPTER_FILES, ADAPTER_RECORD, POLICY
from mmunlearn.records import Training, read_json, sha256_of, write_json
from mmunlearn.spool import finished, release
from mmunlearn.training import reference, refusal_reference
from mmunlearn.training import train as training
from mmunlearn.training.adapters import is_sound
from mmunlearn.training.losses import sequence_logp
from mmunlearn.training.refusal_reference import prepare_reference
from mmunlearn.training.train import train
from tests.unit.training_fixtures import WEIGHTS, unlearner, unlearning


@pytest.mark.parametrize("name", ["dpo", "npo"])
def test_they_are_the_policys_at_step_0_without_dropout(name, finetuned, tmp_path):
    """And every pass gets those of its own questions."""
    trainer = unlearner(finetuned, name, tmp_path, dropout=0.5, batch=1, accumulation=3, max_steps=3)
    assert list(trainer.model.peft_config) == [POLICY], "no second adapter is loaded"
    trainer.model.eval()
    batches = trainer.get_train_dataloader()
    for step, batch in zip(trainer.train_dataset, batches, strict=True):
        for view in trainer.method.reference_logp:
            with torch.no_grad():
                expected = sequence_logp(*forward(trainer.model, trainer.collator(step[view])))
            logp = torch.cat([part["reference_logp"][view] for part in batch["passes"]])
            torch.testing.assert_close(logp, expected, rtol=0, atol=1e-4)
    rows = trainer.run()
    assert rows[-1]["loss"] != rows[0]["loss"], "the policy moves, the reference does not"


def losses_of(run, folder):
    output = folder / "training.json"
    prepare_reference(run, [output])
    train(run, output)
    release(finished(run.work, [output]))  # trained again the next time
    return read_json(folder / "training.json", Training).losses


def test_they_are_stored_and_read_again(finetuned, tmp_path, monkeypatch):
    run = unlearning(finetuned, tmp_path / "work", "dpo-person50", learning_rate=1e-3, max_steps=3)
    losses = losses_of(run, tmp_path)
    (path,) = (tmp_path / "work" / "reference_logp").iterdir()
    values = load_file(path)["logp"].tolist()
    assert all(value < 0 for value in values)
    with monkeypatch.context() as patched:
        patched.setattr(reference, "forward", lambda *_: pytest.fail("a reference forward pass"))
        assert losses_of(run, tmp_path) == losses
    path.write_bytes(b"damaged")
    assert losses_of(run, tmp_path) == losses
    assert load_file(path)["logp"].tolist() == values


def test_a_reference_trained_on_the_refusals(finetuned, tmp_path, monkeypatch):
    """The paper's DPO: the reference is trained first, stays below `work`, and is read by a rerun. Jobs that train and
    trace the same run at one time do not meet."""
    work, changes = tmp_path / "work", {"learning_rate": 1e-3, "max_steps": 4}
    run = unlearning(finetuned, work, "dpo-person50", options={"reference": "refusals"}, **changes)
    losses = losses_of(run, tmp_path)
    (weights,) = work.glob(f"references/*/{WEIGHTS}")
    trained, start = load_file(weights), load_file(finetuned / "adapter" / WEIGHTS)
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    others = losses_of(unlearning(finetuned, work, "dpo-person50", **changes), tmp_path)
    assert losses[0]["refusal"] == others[0]["refusal"], "both start at the finetuned model"
    assert losses[0]["loss"] > others[0]["loss"], "it prefers refusals less than this reference"
    folders, trainer = [], training.PlannedTrainer

    def noted(run, model, collator, folder, *more):
        folders.append(folder)
        return trainer(run, model, collator, folder, *more)

    monkeypatch.setattr(training, "PlannedTrainer", noted)
    assert losses_of(run, tmp_path) == losses
    assert len(folders) == 1, "nothing else is trained"
    folders.clear()
    save_file({name: 1.5 * value for name, value in trained.items()}, weights)
    assert losses_of(run, tmp_path) == losses, "a reference that was altered is made again"
    assert all(torch.equal(value, trained[name]) for name, value in load_file(weights).items())
    for job in ("train", "trace"):
        shutil.rmtree(work / "references")
        prepare_reference(run, [tmp_path / job / "training.json"])
    assert len(folders) == len(set(folders)) == 4
    assert not [*work.glob("claims/*"), *work.glob("training/*")]


def test_of_two_jobs_that_need_a_reference_one_makes_it(finetuned, tmp_path, monkeypatch):
    """The other waits and takes it, though its own start saw none; all before their processes start."""
    run = unlearning(finetuned, tmp_path / "work", "dpo-person50", options={"reference": "refusals"})
    made, together = [], threading.Barrier(2)

    def make(run, reference, folder):
        made.append(folder)
        time.sleep(0.5)
        save_sound(finetuned, reference)

    def prepare(name):
        together.wait()
        prepare_reference(run, [tmp_path / name / "training.json"])

    monkeypatch.setattr(refusal_reference, "make_reference", make)
    jobs = [threading.Thread(target=prepare, args=(name,)) for name in ("train", "trace")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(made) == 1 and is_sound(run.reference)


def save_sound(finetuned, reference):
    shutil.copytree(finetuned / "adapter", reference)
    write_json(reference / ADAPTER_RECORD, {name: sha256_of(reference / name) for name in ADAPTER_FILES})
