"""The loop: exact steps, LoRA only, dropout, clipping, stopping, non-finite losses, kill and resume."""

from __future__ import annotations

import json
import re
import shutil
from multiprocessing import active_children
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainingArguments

from mmunlearn.models.collate import IGNORED, forward
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.loading import POLICY, load_adapter, trainable_parameters
from mmunlearn.training import losses
from mmunlearn.training.adapters import last_checkpoint, save_adapter
from mmunlearn.training.losses import answer_lengths
from mmunlearn.training.methods import METHODS
from mmunlearn.training.reference import reference_logits
from mmunlearn.training.workers import packed, unpacked
from tests.tiny import load_tiny
from tests.unit.training_fixtures import PICTURES, digest, unlearner


def batches(trainer):
    return list(trainer.get_train_dataloader())


def first_step(trainer, number=0):
    """Loss and gradient of a step of the plan, taken first."""
    loss = trainer.training_step(trainer.model, batches(trainer)[number])
    return loss.item(), torch.cat(
        [weight.grad.flatten() for weight in trainable_parameters(trainer.model).values()]
    )


def logits_of(trainer, examples):
    trainer.model.eval()
    with torch.no_grad():
        return forward(trainer.model, trainer.collator(examples))


def published(name, view, average):
    """The published function of a method where the policy still is the reference; `view(name)`: logits and labels."""

    def logp(name):
        return losses.sequence_logp(*view(name))

    return {
        "ga": lambda: losses.ga(*view("forget"), average),
        "gd": lambda: losses.gd(*view("forget"), *view("retain"), average),
        "po": lambda: losses.po(*view("refusal"), *view("retain"), average),
        "kl": lambda: losses.kl(*view("forget"), view("retain")[0], *view("retain"), average),
        "dpo": lambda: losses.dpo(
            *view("refusal"), logp("refusal"), *view("forget"), logp("forget"), 0.1, 1.0, 1.0, average
        ),
        "npo": lambda: losses.npo(*view("forget"), logp("forget"), 0.1),
        "simnpo": lambda: losses.simnpo(*view("forget"), 2.5, 0.0),
        "gd+bgd": lambda: losses.bgd(*view("forget_person"), *view("forget_event"), *view("retain"), average=average),
        "kl+bgd": lambda: losses.bgd(
            *view("forget_person"), *view("forget_event"), *view("retain"), view("retain")[0], average=average
        ),
    }[name]().item()  # fmt: skip


@pytest.mark.parametrize(
    ("name", "average"), [*((name, "sample") for name in METHODS), ("gd", "token"), ("kl+bgd", "token")]
)
def test_a_step_is_the_published_function_and_moves_the_policy_alone(name, average, finetuned, tmp_path):
    """In one pass, and in four of which some lack a view."""
    whole = unlearner(finetuned, name, tmp_path / "whole", average=average)
    step = whole.train_dataset[1]
    expected = published(name, lambda view: logits_of(whole, step[view]), average)
    loss, gradient = first_step(whole, 1)
    assert loss == pytest.approx(expected, abs=1e-4)
    moved = [
        key for key, value in whole.model.named_parameters() if value.grad is not None and value.grad.any()
    ]
    assert moved and all(f".{POLICY}." in key and "lora_" in key for key in moved)
    assert all("vision" not in key and "projector" not in key for key in moved)
    divided = unlearner(finetuned, name, tmp_path / "divided", average=average, batch=1, accumulation=4)
    same, parts = first_step(divided, 1)
    assert same == pytest.approx(loss, abs=1e-5)
    assert (parts - gradient).norm() < 1e-3 * gradient.norm()


def test_questions_without_an_answer_are_not_counted(finetuned, tmp_path):
    trainer = unlearner(finetuned, "ga", tmp_path, batch=2, accumulation=2)
    collator = trainer.collator

    def forgetful(examples):
        batch = collator(examples)
        batch["labels"][0] = IGNORED
        return batch

    trainer.collator = forgetful
    (first, *_) = batches(trainer)
    lengths = answer_lengths(torch.cat([part["views"]["forget"]["labels"] for part in first["passes"]]))
    assert first["totals"] == {"forget": [int(lengths.sum()), 2]} and len(lengths) == 4


@pytest.mark.parametrize("name", ["kl+bgd", "dpo"])
def test_sharded_processes_run_alike_and_their_mean_is_the_whole_gradient(
    name, finetuned, tmp_path, monkeypatch
):
    """What FSDP and DeepSpeed need, acted out in turn: three passes on two processes, the fourth one idle."""
    alone = unlearner(finetuned, name, tmp_path / "alone", batch=1, accumulation=3)
    totals = list(batches(alone)[1]["totals"].values())
    _, whole = first_step(alone, 1)
    shares, forwards = [], []
    others = [unlearner(finetuned, name, tmp_path / str(rank), batch=1, accumulation=3) for rank in (0, 1)]
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    for rank, other in enumerate(others):
        monkeypatch.setattr(TrainingArguments, "process_index", rank)
        other.is_fsdp_enabled, calls = True, []
        other.accelerator.reduce = lambda values, _: (
            values * 2 if values.is_floating_point() else torch.tensor(totals)
        )
        other.model.register_forward_hook(lambda *_, calls=calls: calls.append(torch.is_grad_enabled()))
        shares.append(first_step(other, 1)[1])
        forwards.append(calls)
    assert forwards[0] == forwards[1]
    torch.testing.assert_close((shares[0] + shares[1]) / 2, whole, rtol=1e-3, atol=1e-6)


def test_the_reference_stays_the_finetuned_model(finetuned, tmp_path):
    """Its logits have no dropout, though the policy trains with it."""
    trainer = unlearner(finetuned, "kl", tmp_path, dropout=0.5)
    before, batch = logits_of(trainer, PICTURES)[0], trainer.collator(PICTURES)
    trainer.run()
    assert trainer.model.training
    assert torch.equal(reference_logits(trainer.model, trainer.model, batch), before)
    assert trainer.model.training and trainer.model.active_adapter == POLICY
    assert not torch.equal(logits_of(trainer, PICTURES)[0], before)


def test_the_policy_trains_with_dropout(finetuned, tmp_path):
    """Which the step and the pass decide, not what has been drawn before."""
    trainer = unlearner(finetuned, "ga", tmp_path, dropout=0.5)
    whole = losses.ga(*logits_of(trainer, trainer.train_dataset[0]["forget"])).item()
    step = batches(trainer)[0]
    dropped = trainer.training_step(trainer.model, step).item()
    assert trainer.training_step(trainer.model, step).item() == dropped
    step["passes"][0]["number"] = 1
    other_pass = trainer.training_step(trainer.model, step).item()
    trainer.state.global_step = 1
    other_step = trainer.training_step(trainer.model, step).item()
    assert len({whole, dropped, other_pass, other_step}) == 4


def test_gradients_are_clipped(finetuned, tmp_path):
    norms = []

    class Norms(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **_):
            gradients = [weight.grad.norm() for weight in trainable_parameters(model).values()]
            norms.append(torch.stack(gradients).norm().item())

    trainer = unlearner(finetuned, "gd", tmp_path, max_steps=2, max_grad_norm=0.01)
    trainer.add_callback(Norms())
    trainer.run()
    assert norms == pytest.approx([0.01, 0.01], rel=1e-3)
    assert all(row["gradient_norm"] > 0.1 for row in trainer.state.log_history[:2]), "as it was before"


def test_a_constant_rate_warms_up_first(finetuned, tmp_path):
    trainer = unlearner(finetuned, "ga", tmp_path, warmup_steps=4)
    trainer.create_optimizer_and_scheduler(6)
    assert set(trainer.lr_scheduler.get_last_lr()) == {0.0}


def test_gradient_ascent_stops_at_its_bound_and_comes_to_the_same_end_again(finetuned, tmp_path):
    """The stopping step falls on a save step; whatever checkpoint is left, a rerun stops there again."""
    stopping, ends = {"window": 2, "forget_bound": 0.8, "refusal_bound": 0.0}, []
    for _ in range(2):
        trainer = unlearner(finetuned, "ga", tmp_path, max_steps=60, stopping=stopping, save_steps=1)
        rows = trainer.run()
        assert rows[-1]["forget"] > rows[0]["forget"]
        ends.append((len(rows), trainer.stop_reason, digest(trainer.model)))
    assert ends[0] == ends[1]
    assert ends[0][0] < 60 and "forget CE" in ends[0][1]


def poison(trainer, at):
    """Make the loss of a step not finite. Returns the digests of the weights that every loss was computed with."""
    loss, digests = trainer.method.loss, []

    def poisoned(views):
        digests.append(digest(trainer.model))
        return loss(views) * (float("nan") if trainer.state.global_step + 1 == at else 1.0)

    trainer.method.loss = poisoned
    return digests


def kill(trainer, at):
    """Run until the loss of a step is asked for."""
    loss = trainer.method.loss

    def dies(views):
        if trainer.state.global_step + 1 == at:
            raise KeyboardInterrupt
        return loss(views)

    trainer.method.loss = dies
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def test_a_loss_that_is_not_finite_keeps_the_last_good_adapter(finetuned, tmp_path):
    """The weights to go back to travel in the checkpoint, too."""
    whole = unlearner(finetuned, "ga", tmp_path / "whole")
    digests = poison(whole, at=4)
    rows = whole.run()
    assert len(rows) == 4 and whole.steps == 2 and rows[3]["loss"] is None
    assert "not finite at step 4: kept the adapter of step 2" in whole.stop_reason
    assert digest(whole.model) == digests[2], "the weights that gave the last finite loss are kept"
    killed = unlearner(finetuned, "ga", tmp_path / "killed", save_steps=3)
    kill(killed, at=4)
    resumed = unlearner(finetuned, "ga", tmp_path / "killed", save_steps=3)
    poison(resumed, at=4)
    resumed.run()
    assert (digest(resumed.model), resumed.stop_reason) == (digest(whole.model), whole.stop_reason)


@pytest.mark.parametrize("name", ["kl+bgd", "dpo"])
def test_a_killed_run_ends_with_the_weights_and_the_log_of_an_unbroken_one(name, finetuned, tmp_path):
    """With dropout, and a reference in the loop or before it; Snakemake removes the log of the killed job."""

    def trainer(folder):
        return unlearner(
            finetuned, name, tmp_path / folder, dropout=0.05, log=tmp_path / folder / "steps.jsonl"
        )

    def lines(folder):
        rows = [json.loads(line) for line in (tmp_path / folder / "steps.jsonl").read_text().splitlines()]
        return [{key: row[key] for key in row if key not in ("seconds", "memory_gb")} for row in rows]

    unbroken = trainer("unbroken")
    expected = unbroken.run()
    killed = trainer("killed")
    kill(killed, at=4)
    assert len(lines("killed")) == 3
    (tmp_path / "killed" / "steps.jsonl").unlink()
    checkpoints = Path(killed.args.output_dir)
    (checkpoints / "checkpoint-3").mkdir()  # half-written when the job was killed
    assert last_checkpoint(checkpoints).name == "checkpoint-2"
    resumed = trainer("killed")
    assert resumed.run() == expected
    assert digest(resumed.model) == digest(unbroken.model)
    assert lines("killed") == lines("unbroken") and len(lines("killed")) == 6


@pytest.mark.parametrize("name", ["kl+bgd", "dpo"])
def test_workers_read_and_lay_out_the_same_steps(name, finetuned, tmp_path):
    """In processes of their own, whose numbers in the log are no training's; a killed run goes on with others."""
    alone = unlearner(finetuned, name, tmp_path / "alone", batch=2, accumulation=2, dropout=0.05)
    expected, there = alone.run(), tmp_path / "there"
    helped = unlearner(finetuned, name, there, batch=2, accumulation=2, dropout=0.05, workers=2)
    laid_out, collate = [], helped.collator.__call__
    helped.collator = lambda examples: laid_out.append(1) or collate(examples)
    helped.collator.vocabulary, helped.collator.with_features = 320, dict
    kill(helped, at=4)
    assert not laid_out and not active_children()
    resumed = unlearner(finetuned, name, there, batch=2, accumulation=2, dropout=0.05, workers=1)
    assert resumed.run() == expected
    assert digest(resumed.model) == digest(alone.model) and not active_children()


def test_what_a_worker_cannot_read_is_said_as_without_workers(finetuned, tmp_path):
    features = FeatureTable(finetuned / "features.safetensors")
    trainer = unlearner(finetuned, "ga", tmp_path, workers=2)
    trainer.collator._features = {key: features[key] for key in features if key != "p001-e02"}
    with pytest.raises(KeyError, match="p001-e02"):
        trainer.run()
    assert not active_children()


def test_a_step_between_processes_is_one_piece_of_memory():
    tensors = [torch.arange(3), torch.ones(2, 0), torch.tensor(1.5), torch.tensor([[True], [False]])]
    step = {
        "labels": tensors[0],
        "passes": [{"rows": tensors[1:]}, {"family": "llava", "totals": {"forget": [3, 1]}}],
    }
    sent = packed(step)
    assert sent["memory"].dtype == torch.uint8 and len(sent["memory"]) == 3 * 64
    received = unpacked(sent)
    assert received["passes"][1] == step["passes"][1] and "labels" not in sent
    for one, other in zip([received["labels"], *received["passes"][0]["rows"]], tensors, strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype and one.shape == other.shape
    assert unpacked(step) is step


def test_saved_loaded_and_merged_adapters_agree(finetuned, tmp_path):
    trainer = unlearner(finetuned, "kl", tmp_path, max_steps=2)
    trainer.run()
    logits = logits_of(trainer, PICTURES)[0]
    save_adapter(trainer.model, tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    loaded = load_adapter(load_tiny(finetuned / "tiny"), tmp_path / "adapter")
    batch = trainer.collator(PICTURES)
    with torch.no_grad():
        torch.testing.assert_close(forward(loaded, batch)[0], logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(forward(loaded.merge_and_unload(), batch)[0], logits, rtol=0, atol=1e-4)


def test_checkpointing_and_mixed_precision_leave_the_losses_alone(finetuned, tmp_path):
    """Checkpointing needs no gradients of the inputs: the adapters of all layers get theirs, and what is recomputed
    drops the same. Adapters stay float32."""
    rows = {}
    for name, changes in (
        ("plain", {}),
        ("checkpointing", {"checkpointing": True}),
        ("bf16", {"precision": "bf16"}),
    ):
        trainer = unlearner(finetuned, "kl", tmp_path / name, max_steps=3, dropout=0.2, **changes)
        rows[name] = [row["loss"] for row in trainer.run()]
        assert trainer.model.base_model.model.is_activation_checkpointing == (name == "checkpointing")
        assert {value.dtype for value in trainable_parameters(trainer.model).values()} == {torch.float32}
    assert rows["checkpointing"] == pytest.approx(rows["plain"], abs=1e-5)
    assert rows["bf16"] == pytest.approx(rows["plain"], abs=0.1) and rows["bf16"] != rows["plain"]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path):
    """One bit of an archive's first member."""
    content = bytearray(path.read_bytes())
    with ZipFile(path) as archive:
        first = archive.infolist()[0]
    content[first.header_offset + 30 + len(first.filename) + 64] ^= 1
    path.write_bytes(content)


def write_others(path, change):
    tensors = load_file(path)
    key = sorted(tensors)[-1]
    save_file({**tensors, key: change(tensors[key])}, path)


HARMS = {
    "cut": cut,
    "altered": alter,
    "gone": Path.unlink,
    "misshapen": lambda path: write_others(path, lambda tensor: tensor[:-1].contiguous()),
    "not finite": lambda path: write_others(path, lambda tensor: tensor * float("nan")),
    "other tensors": lambda path: save_file({"other": torch.ones(1)}, path),
}


@pytest.mark.parametrize(
    ("name", "harms"),
    [
        ("adapter_model.safetensors", ["cut", "gone", "misshapen", "not finite", "other tensors"]),
        ("last_good.safetensors", ["cut", "gone", "misshapen", "not finite", "other tensors"]),
        ("adapter_config.json", ["cut", "gone"]),
        ("optimizer.pt", ["cut", "gone", "altered"]),
        ("scheduler.pt", ["cut", "gone", "altered"]),
        ("rng_state.pth", ["cut", "altered"]),
        ("trainer_state.json", ["cut", "gone"]),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(finetuned, tmp_path, caplog, name, harms):
    """For the one before, which is whole: the run ends as an unbroken one does."""
    trainer = unlearner(finetuned, "ga", tmp_path, save_steps=1, max_steps=3)
    trainer.args.save_total_limit = 2
    kill(trainer, at=3)
    before, last = (Path(trainer.args.output_dir) / f"checkpoint-{step}" for step in (1, 2))
    content = (last / name).read_bytes()
    for harm in harms:
        HARMS[harm](last / name)
        copied = shutil.copytree(last, tmp_path / harm)
        assert last_checkpoint(last.parent, trainer._read_checkpoint) == before and not last.exists()
        shutil.copytree(copied, last)
        (last / name).write_bytes(content)
        assert last_checkpoint(last.parent, trainer._read_checkpoint) == last
        assert re.search(r"checkpoint-2 is (damaged|incomplete) and removed", caplog.text)
        caplog.clear()


def test_a_run_without_a_whole_checkpoint_begins_anew(finetuned, tmp_path):
    unbroken = unlearner(finetuned, "ga", tmp_path / "unbroken", max_steps=3)
    expected = unbroken.run()
    kill(unlearner(finetuned, "ga", tmp_path, save_steps=1, max_steps=3), at=3)
    resumed = unlearner(finetuned, "ga", tmp_path, save_steps=1, max_steps=3)
    (path,) = Path(resumed.args.output_dir).glob("checkpoint-*/optimizer.pt")
    cut(path)
    assert resumed.run() == expected and digest(resumed.model) == digest(unbroken.model)
