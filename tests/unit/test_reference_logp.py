"""Reference log-probabilities: computed once, equal to those of the first step, no reference in the loop."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from mmunlearn.models.collate import forward
from mmunlearn.records import Training, read_json
from mmunlearn.training import courses, reference, trainer
from mmunlearn.training.losses import sequence_logp
from mmunlearn.training.recipes import train_unlearned
from tests.unit.training_fixtures import job_of, make_finetuned, unlearner, write_files


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    return make_finetuned(tmp_path_factory.mktemp("finetuned"))


@pytest.fixture
def files(finetuned, tmp_path):
    files = write_files(tmp_path, finetuned)
    files["settings"] |= {"learning_rate": 1e-3}
    return files | {"method": "dpo"}


@pytest.mark.parametrize("name", ["dpo", "npo"])
def test_they_are_the_policys_at_step_0(name, finetuned, tmp_path):
    made = unlearner(finetuned, name, tmp_path)
    assert list(made.model.peft_config) == ["default"], "no second adapter is loaded"
    for step in made.train_dataset:
        for view in made.method.reference_logp:
            with torch.no_grad():
                expected = sequence_logp(*forward(made.model, made.collator(step[view])))
            torch.testing.assert_close(made.reference_logp.of(step[view]), expected, rtol=0, atol=1e-4)
    rows = made.run()
    assert rows[-1]["loss"] != rows[0]["loss"], "the policy moves, the reference does not"


def test_every_pass_gets_those_of_its_own_questions(finetuned, tmp_path):
    made = unlearner(finetuned, "dpo", tmp_path, batch=1, accumulation=3)
    step = made.train_dataset[0]
    known = [one["reference_logp"] for one in made._collate([step])["passes"]]
    for view in ("forget", "refusal"):
        assert torch.equal(torch.cat([one[view] for one in known]), made.reference_logp.of(step[view]))


def test_they_are_kept_and_taken_up_again(files, finetuned, tmp_path, monkeypatch):
    job = job_of(tmp_path / "out", finetuned, files)
    train_unlearned(job, **files)
    (kept,) = job.work.glob("reference_logp/*.safetensors")
    first, values = read_json(job.output, Training), load_file(kept)["logp"].tolist()
    assert all(value < 0 for value in values)
    monkeypatch.setattr(reference, "forward", lambda *_: pytest.fail("a reference forward pass"))
    monkeypatch.setattr(courses, "add_reference", lambda *_: pytest.fail("a second adapter"))
    monkeypatch.setattr(trainer, "reference_logits", lambda *_: pytest.fail("a reference in the loop"))
    train_unlearned(job, **files)
    assert read_json(job.output, Training).losses == first.losses
    kept.write_bytes(b"damaged")
    monkeypatch.undo()
    train_unlearned(job, **files)
    assert load_file(kept)["logp"].tolist() == values
    assert read_json(job.output, Training).losses == first.losses


def test_a_reference_trained_on_the_refusals(files, finetuned, tmp_path, monkeypatch):
    """The paper's DPO: the reference is trained first, kept, and taken up by a rerun."""
    files |= {"options": {"reference": "refusals"}, "max_steps": 6}
    job = job_of(tmp_path / "out", finetuned, files)
    train_unlearned(job, **files)
    done = read_json(job.output, Training)
    (made,) = job.work.glob("references/*/adapter_model.safetensors")
    trained, start = load_file(made), load_file(finetuned[1] / made.name)
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    plain = job_of(tmp_path / "plain", finetuned, files)
    train_unlearned(plain, **files | {"options": {}})
    others = read_json(plain.output, Training).losses
    assert done.losses[0]["refusal"] == others[0]["refusal"], "both start at the finetuned model"
    assert done.losses[0]["loss"] > others[0]["loss"], "it prefers refusals less than this reference"
    calls, train = [], courses.train
    monkeypatch.setattr(courses, "train", lambda *given: calls.append(given) or train(*given))
    train_unlearned(job, **files)
    assert len(calls) == 1
    assert read_json(job.output, Training).losses == done.losses
