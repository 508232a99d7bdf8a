"""The loop: exact accumulation, LoRA only, frozen reference, stopping, non-finite losses, kill and resume."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainingArguments

from mmunlearn.models.collate import forward
from mmunlearn.models.loading import POLICY, load_adapter, trainable_parameters
from mmunlearn.training.adapters import last_checkpoint, save_adapter
from mmunlearn.training.losses import bgd, dpo, ga, gd, kl, npo, po, sequence_logp, simnpo
from mmunlearn.training.methods import METHODS
from mmunlearn.training.settings import Machine
from mmunlearn.training.stopping import Stopping
from tests.tiny import load_tiny
from tests.unit.training_fixtures import EVENTS, FORGET, PEOPLE, digest, make_finetuned, unlearner


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    """Checkpoint and adapter folder."""
    return make_finetuned(tmp_path_factory.mktemp("finetuned"))


@pytest.mark.parametrize("name", METHODS)
def test_accumulated_passes_give_the_gradient_of_the_whole_step(name, finetuned, tmp_path):
    gradients = []
    for batch, accumulation in ((4, 1), (1, 4), (3, 2)):
        trainer = unlearner(finetuned, name, tmp_path / f"{batch}", batch=batch, accumulation=accumulation)
        step = {view: examples[:4] for view, examples in trainer.train_dataset[0].items()}
        if "forget_event" in step:
            step |= {"forget_person": FORGET[:3], "forget_event": EVENTS[:1]}
        trainer.model.zero_grad()
        trainer.state.global_step = 0
        trainer.training_step(trainer.model, trainer._collate([step]))
        gradients.append(torch.cat([p.grad.flatten() for p in trainable_parameters(trainer.model).values()]))
    for other in gradients[1:]:
        assert (other - gradients[0]).norm() / gradients[0].norm() < 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_the_policy_adapter_and_nothing_else(name, finetuned, tmp_path):
    trainer = unlearner(finetuned, name, tmp_path)
    trainer.training_step(trainer.model, trainer._collate([trainer.train_dataset[0]]))
    moved = [
        key for key, value in trainer.model.named_parameters() if value.grad is not None and value.grad.any()
    ]
    assert moved and all(f".{POLICY}." in key and "lora_" in key for key in moved)
    assert all("vision" not in key and "projector" not in key for key in moved)


def test_a_step_equals_the_published_function(finetuned, tmp_path):
    """The trainer's loss of a first step is the pure function's on the same logits."""
    for name, expected in EXPECTED.items():
        trainer = unlearner(finetuned, name, tmp_path / name)
        step = trainer.train_dataset[0]
        value = trainer.training_step(trainer.model, trainer._collate([step]))
        assert value.item() == pytest.approx(expected(trainer, step), abs=1e-4)


def _logits(trainer, examples):
    with torch.no_grad():
        return forward(trainer.model, trainer.collator(examples))


def _ga(trainer, step):
    return ga(*_logits(trainer, step["forget"])).item()


def _po(trainer, step):
    return po(*_logits(trainer, step["refusal"]), *_logits(trainer, step["retain"])).item()


def _gd(trainer, step):
    return gd(*_logits(trainer, step["forget"]), *_logits(trainer, step["retain"])).item()


def _kl(trainer, step):
    retain, labels = _logits(trainer, step["retain"])
    return kl(*_logits(trainer, step["forget"]), retain, retain, labels).item()  # step 0: policy is reference


def _dpo(trainer, step):
    refusal, truth = _logits(trainer, step["refusal"]), _logits(trainer, step["forget"])
    return dpo(*refusal, sequence_logp(*refusal), *truth, sequence_logp(*truth), 0.1, 1.0, 1.0).item()


def _npo(trainer, step):
    forget = _logits(trainer, step["forget"])
    return npo(*forget, sequence_logp(*forget), 0.1).item()


def _simnpo(trainer, step):
    return simnpo(*_logits(trainer, step["forget"]), 2.5, 0.0).item()


def _bgd(trainer, step):
    assert not step["forget_event"], "events come later"
    return bgd(*_logits(trainer, step["forget_person"]), None, None, *_logits(trainer, step["retain"])).item()


EXPECTED = {
    "ga": _ga, "gd": _gd, "po": _po, "kl": _kl, "dpo": _dpo, "npo": _npo, "simnpo": _simnpo, "gd+bgd": _bgd
}  # fmt: skip


def test_the_reference_stays_the_finetuned_model(finetuned, tmp_path):
    trainer = unlearner(finetuned, "kl", tmp_path)
    before = _logits(trainer, PEOPLE)[0]
    trainer.run()
    model = trainer.model
    model.set_adapter("reference", inference_mode=True)
    assert torch.equal(_logits(trainer, PEOPLE)[0], before)
    model.set_adapter(POLICY)
    assert not torch.equal(_logits(trainer, PEOPLE)[0], before)


def test_gradient_ascent_stops_at_its_bound_and_says_so(finetuned, tmp_path):
    stopping = Stopping(window=2, forget_bound=0.8, refusal_bound=0.0)
    trainer = unlearner(finetuned, "ga", tmp_path, steps=60, stopping=stopping)
    history = trainer.run()
    assert len(history) < 60
    assert "forget CE" in trainer.stop_reason
    assert history[-1]["forget"] > history[0]["forget"]


def test_a_loss_that_is_not_finite_keeps_the_last_good_adapter(finetuned, tmp_path):
    trainer = unlearner(finetuned, "ga", tmp_path)
    original, seen = trainer.method.loss, []

    def poisoned(views):
        seen.append(digest(trainer.model))
        loss = original(views)
        return loss * float("nan") if len(seen) == 4 else loss

    trainer.method.loss = poisoned
    history = trainer.run()
    assert len(history) == 4 and trainer.discarded == 2
    assert history[3]["loss"] is None
    assert "not finite at step 4: kept the adapter of step 2" in trainer.stop_reason
    assert digest(trainer.model) == seen[2], "the weights that gave the last finite loss are kept"


def kill_at(trainer, step):
    original, steps = trainer.method.loss, []

    def dies(views):
        steps.append(1)
        if len(steps) == step:
            raise KeyboardInterrupt
        return original(views)

    trainer.method.loss = dies
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


@pytest.mark.parametrize("name", ["gd", "kl", "dpo", "kl+bgd"])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(name, finetuned, tmp_path):
    unbroken = unlearner(finetuned, name, tmp_path / "unbroken")
    expected = unbroken.run()
    kill_at(unlearner(finetuned, name, tmp_path / "killed"), 4)
    (tmp_path / "killed" / "checkpoint-3").mkdir()  # a half-written checkpoint of the killed job
    assert last_checkpoint(tmp_path / "killed").endswith("checkpoint-2")
    resumed = unlearner(finetuned, name, tmp_path / "killed")
    history = resumed.run()
    assert digest(resumed.model) == digest(unbroken.model)
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_a_run_killed_after_its_stop_comes_to_the_same_end(finetuned, tmp_path):
    """The stopping step falls on a save step; whatever checkpoint is left, the rerun stops there again."""
    stopping = Stopping(window=2, forget_bound=0.8, refusal_bound=0.0)
    ends = []
    for _ in range(2):
        trainer = unlearner(finetuned, "ga", tmp_path, steps=60, stopping=stopping, save_steps=1)
        history = trainer.run()
        ends.append((len(history), trainer.stop_reason, digest(trainer.model)))
    assert ends[0] == ends[1]


def test_a_constant_rate_warms_up_first(finetuned, tmp_path):
    trainer = unlearner(finetuned, "gd", tmp_path, warmup_steps=4)
    trainer.create_optimizer_and_scheduler(6)
    assert set(trainer.lr_scheduler.get_last_lr()) == {0.0}


def test_saved_loaded_and_merged_adapters_agree(finetuned, tmp_path):
    trainer = unlearner(finetuned, "kl", tmp_path)
    trainer.run()
    logits = _logits(trainer, PEOPLE)[0]
    save_adapter(trainer.model, tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    loaded = load_adapter(load_tiny(finetuned[0]), tmp_path / "adapter")
    batch = trainer.collator(PEOPLE)
    with torch.no_grad():
        torch.testing.assert_close(forward(loaded, batch)[0], logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(forward(loaded.merge_and_unload(), batch)[0], logits, rtol=0, atol=1e-4)


def first_gradient(trainer, step):
    trainer.training_step(trainer.model, trainer._collate([step]))
    return torch.cat([p.grad.flatten() for p in trainable_parameters(trainer.model).values()])


def test_checkpointing_changes_no_gradient(finetuned, tmp_path):
    """Nor does it need gradients of the inputs: the adapters of all layers get theirs."""
    losses = []
    for checkpointing in (False, True):
        more = {"machine": Machine(checkpointing=checkpointing)}
        trainer = unlearner(finetuned, "kl", tmp_path / str(checkpointing), steps=3, more=more)
        losses.append([row["loss"] for row in trainer.run()])
        assert trainer.model.base_model.model.is_activation_checkpointing == checkpointing
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[0][0] != losses[0][1]


def test_mixed_precision_keeps_the_adapters_in_float32(finetuned, tmp_path):
    losses = {}
    for precision in ("none", "bf16"):
        more = {"machine": Machine(precision=precision)}
        trainer = unlearner(finetuned, "dpo", tmp_path / precision, steps=3, more=more)
        losses[precision] = [row["loss"] for row in trainer.run()]
        assert {value.dtype for value in trainable_parameters(trainer.model).values()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["none"], abs=0.1) and losses["bf16"] != losses["none"]


@pytest.mark.parametrize("name", ["kl+bgd", "dpo"])
def test_sharded_processes_run_alike_and_their_mean_is_the_whole_gradient(
    name, finetuned, tmp_path, monkeypatch
):
    """What FSDP and DeepSpeed need, acted out in turn: three passes on two processes, the fourth one idle."""
    trainer = unlearner(finetuned, name, tmp_path / "alone", batch=1, accumulation=3)
    step = trainer.train_dataset[0]
    if "forget_event" in step:
        step = step | {"forget_event": EVENTS[:1]}
    whole = first_gradient(trainer, step)
    totals = trainer._collate([step])["totals"]
    shares, forwards = [], []
    others = [unlearner(finetuned, name, tmp_path / str(rank), batch=1, accumulation=3) for rank in (0, 1)]
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    for rank, other in enumerate(others):
        monkeypatch.setattr(TrainingArguments, "process_index", rank)
        other._sharded = True
        other._sum = lambda values: values * 2 if values.is_floating_point() else totals
        calls = []
        other.model.register_forward_hook(lambda *_, calls=calls: calls.append(torch.is_grad_enabled()))
        shares.append(first_gradient(other, step))
        forwards.append(calls)
    assert forwards[0] == forwards[1]
    torch.testing.assert_close((shares[0] + shares[1]) / 2, whole, rtol=1e-3, atol=1e-6)


def test_a_run_killed_before_a_loss_went_wrong_goes_back_as_far(finetuned, tmp_path):
    """The weights to go back to travel in the checkpoint."""
    ends = []
    for name, dies in (("unbroken", None), ("killed", 3)):
        for attempt in [None] if dies is None else [dies, None]:
            trainer = unlearner(finetuned, "ga", tmp_path / name)
            original = trainer.method.loss

            def poisoned(views, original=original, trainer=trainer):
                return original(views) * (float("nan") if trainer.state.global_step == 2 else 1.0)

            trainer.method.loss = poisoned
            if attempt:
                kill_at(trainer, attempt)
            else:
                trainer.run()
                ends.append((digest(trainer.model), trainer.stop_reason))
    assert ends[0] == ends[1] and "kept the adapter of step 1" in ends[0][1]
