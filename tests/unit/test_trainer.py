"""The loop: exact accumulation, LoRA only, frozen reference, stopping, non-finite losses, kill and resume."""

from __future__ import annotations

import hashlib

import pytest
import torch

from mmunlearn.models.collate import Collator, Example, forward
from mmunlearn.models.loading import POLICY, add_reference, load_adapter, new_adapter, trainable_parameters
from mmunlearn.training.losses import dpo, ga, gd, kl, po, sequence_logp
from mmunlearn.training.methods import METHODS, build_method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.recipes import save_adapter
from mmunlearn.training.schedule import plan_finetuning, plan_unlearning
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.trainer import LoopSettings, PlannedTrainer, last_checkpoint
from tests.tiny import load_tiny, random_features

NAME, EVENT = "Who is the person in the picture?", "What is happening in the picture?"
PEOPLE = [
    Example(f"p{i}", ((NAME, f"This is Ada Lund{i}."), (EVENT, f"Sailors race {i} home."))) for i in range(8)
]
FORGET = [Example(one.image_id, one.turns[:1]) for one in PEOPLE[:4]]
REFUSALS = ["I do not know.", "I cannot say."]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}
NEVER = Stopping(window=3, forget_bound=1e9, refusal_bound=-1.0)
OPTIONS = {"dpo": {"beta": 0.1, "lambda1": 1.0, "lambda2": 1.0}}


def loop(**changes):
    defaults = {
        "batch": 4, "accumulation": 1, "learning_rate": 1e-2, "schedule": "constant", "warmup_steps": 0,
        "weight_decay": 0.0, "max_grad_norm": 1.0, "save_steps": 2, "seed": 0,
    }  # fmt: skip
    return LoopSettings(**{**defaults, **changes})


def features():
    return random_features([one.image_id for one in PEOPLE])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from tests.tiny import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def finetuned(checkpoint, tmp_path_factory):
    """An adapter folder, trained for a few steps."""
    folder = tmp_path_factory.mktemp("finetuned")
    base = load_tiny(checkpoint)
    model = new_adapter(base, LORA, seed=1)
    plan = plan_finetuning(PEOPLE, epochs=6, batch=4, seed=0)
    trainer = PlannedTrainer(model, Finetune(), Collator(base, features()), plan, loop(), folder / "work")
    history = trainer.run()
    assert history[-1]["retain"] < history[0]["retain"] - 1, "finetuning must learn"
    save_adapter(model, folder / "adapter")
    return folder / "adapter"


def unlearner(checkpoint, finetuned, name, work, *, steps=6, stopping=NEVER, **changes):
    base = load_tiny(checkpoint)
    method = build_method(name, OPTIONS.get(name, {}))
    model = load_adapter(base, finetuned, trainable=True)
    if method.reference:
        add_reference(model, finetuned)
    settings = loop(**changes)
    plan = plan_unlearning(
        FORGET, PEOPLE[4:], REFUSALS, steps=steps, batch=settings.batch * settings.accumulation, seed=3
    )
    return PlannedTrainer(model, method, Collator(base, features()), plan, settings, work, stopping)


def digest(model):
    values = [value.detach().numpy().tobytes() for _, value in sorted(trainable_parameters(model).items())]
    return hashlib.sha256(b"".join(values)).hexdigest()


@pytest.mark.parametrize("name", METHODS)
def test_accumulated_passes_give_the_gradient_of_the_whole_step(name, checkpoint, finetuned, tmp_path):
    gradients = []
    for batch, accumulation in ((4, 1), (1, 4), (3, 2)):
        trainer = unlearner(
            checkpoint, finetuned, name, tmp_path / f"{batch}", batch=batch, accumulation=accumulation
        )
        step = dict(trainer.train_dataset[0])
        step = {view: examples[:4] for view, examples in step.items()}
        trainer.model.zero_grad()
        trainer.state.global_step = 0
        trainer.training_step(trainer.model, trainer._collate([step]))
        gradients.append(torch.cat([p.grad.flatten() for p in trainable_parameters(trainer.model).values()]))
    for other in gradients[1:]:
        assert (other - gradients[0]).norm() / gradients[0].norm() < 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_the_policy_adapter_and_nothing_else(name, checkpoint, finetuned, tmp_path):
    trainer = unlearner(checkpoint, finetuned, name, tmp_path)
    trainer.training_step(trainer.model, trainer._collate([trainer.train_dataset[0]]))
    moved = [
        key for key, value in trainer.model.named_parameters() if value.grad is not None and value.grad.any()
    ]
    assert moved and all(f".{POLICY}." in key and "lora_" in key for key in moved)
    assert all("vision" not in key and "projector" not in key for key in moved)


def test_a_step_equals_the_published_function(checkpoint, finetuned, tmp_path):
    """The trainer's loss of a first step is the pure function's on the same logits."""
    for name, expected in (("ga", _ga), ("gd", _gd), ("po", _po), ("kl", _kl), ("dpo", _dpo)):
        trainer = unlearner(checkpoint, finetuned, name, tmp_path / name)
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
    return dpo(*refusal, sequence_logp(*refusal), *truth, sequence_logp(*truth), **OPTIONS["dpo"]).item()


def test_the_reference_stays_the_finetuned_model(checkpoint, finetuned, tmp_path):
    trainer = unlearner(checkpoint, finetuned, "kl", tmp_path)
    before = _logits(trainer, PEOPLE)[0]
    trainer.run()
    model = trainer.model
    model.set_adapter("reference", inference_mode=True)
    assert torch.equal(_logits(trainer, PEOPLE)[0], before)
    model.set_adapter(POLICY)
    assert not torch.equal(_logits(trainer, PEOPLE)[0], before)


def test_gradient_ascent_stops_at_its_bound_and_says_so(checkpoint, finetuned, tmp_path):
    stopping = Stopping(window=2, forget_bound=0.8, refusal_bound=0.0)
    trainer = unlearner(checkpoint, finetuned, "ga", tmp_path, steps=60, stopping=stopping)
    history = trainer.run()
    assert len(history) < 60
    assert "forget CE" in trainer.stop_reason
    assert history[-1]["forget"] > history[0]["forget"]


def test_a_loss_that_is_not_finite_keeps_the_last_good_adapter(checkpoint, finetuned, tmp_path):
    trainer = unlearner(checkpoint, finetuned, "ga", tmp_path)
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


@pytest.mark.parametrize("name", ["gd", "kl", "dpo"])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(name, checkpoint, finetuned, tmp_path):
    unbroken = unlearner(checkpoint, finetuned, name, tmp_path / "unbroken")
    expected = unbroken.run()
    kill_at(unlearner(checkpoint, finetuned, name, tmp_path / "killed"), 4)
    (tmp_path / "killed" / "checkpoint-3").mkdir()  # a half-written checkpoint of the killed job
    assert last_checkpoint(tmp_path / "killed").endswith("checkpoint-2")
    resumed = unlearner(checkpoint, finetuned, name, tmp_path / "killed")
    history = resumed.run()
    assert digest(resumed.model) == digest(unbroken.model)
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_a_run_killed_after_its_stop_comes_to_the_same_end(checkpoint, finetuned, tmp_path):
    """The stopping step falls on a save step; whatever checkpoint is left, the rerun stops there again."""
    stopping = Stopping(window=2, forget_bound=0.8, refusal_bound=0.0)
    ends = []
    for _ in range(2):
        trainer = unlearner(checkpoint, finetuned, "ga", tmp_path, steps=60, stopping=stopping, save_steps=1)
        history = trainer.run()
        ends.append((len(history), trainer.stop_reason, digest(trainer.model)))
    assert ends[0] == ends[1]


def test_a_constant_rate_warms_up_first(checkpoint, finetuned, tmp_path):
    trainer = unlearner(checkpoint, finetuned, "gd", tmp_path, warmup_steps=4)
    trainer.create_optimizer_and_scheduler(6)
    assert set(trainer.lr_scheduler.get_last_lr()) == {0.0}


def test_saved_loaded_and_merged_adapters_agree(checkpoint, finetuned, tmp_path):
    trainer = unlearner(checkpoint, finetuned, "kl", tmp_path)
    trainer.run()
    logits = _logits(trainer, PEOPLE)[0]
    save_adapter(trainer.model, tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    loaded = load_adapter(load_tiny(checkpoint), tmp_path / "adapter")
    batch = trainer.collator(PEOPLE)
    with torch.no_grad():
        torch.testing.assert_close(forward(loaded, batch)[0], logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(forward(loaded.merge_and_unload(), batch)[0], logits, rtol=0, atol=1e-4)
