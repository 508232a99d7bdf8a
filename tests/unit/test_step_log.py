"""The log of steps as it grows, and trackers."""

from __future__ import annotations

import json
import sys

import pytest

from mmunlearn.training.logs import tracked, trackers
from tests.unit.training_fixtures import unlearner

KEYS = [
    "step", "epoch", "loss", "forget", "retain", "gradient_norm", "learning_rate", "tokens", "seconds", "memory_gb",
    "average", "samples",
]  # fmt: skip


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_line_a_step_as_it_happens_and_trackers_get_it_too(finetuned, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path, logs = tmp_path / "deep" / "steps.jsonl", tmp_path / "logs" / "seed-1"
    trainer = unlearner(
        finetuned, "gd", tmp_path, log=path, warmup_steps=2, batch=2, logs=logs, trackers=["tensorboard"]
    )
    loss, lengths = trainer.method.loss, []

    def counts(views):
        lengths.append(len(lines(path)))
        return loss(views)

    trainer.method.loss = counts
    history = trainer.run()
    assert lengths == [0, 1, 2, 3, 4, 5], "a line is there as soon as its step is done"
    rows = lines(path)
    assert [list(row) for row in rows] == [KEYS] * 6
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in rows] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [row["learning_rate"] for row in rows][:3] == pytest.approx([0, 5e-3, 1e-2])
    assert all(row["gradient_norm"] > 0 and row["memory_gb"] > 0 for row in rows)
    assert all(row["tokens"]["retain"] > row["tokens"]["forget"] > 0 for row in rows)
    assert all(row["samples"] == {"forget": 2, "retain": 4} and row["average"] == "sample" for row in rows)
    assert [row["loss"] for row in rows] == [row["loss"] for row in history]
    for row in rows:
        assert row["loss"] == pytest.approx(row["retain"] - row["forget"], abs=1e-5)
    events = EventAccumulator(str(logs)).Reload()
    assert [one.step for one in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [one.value for one in events.Scalars("train/loss")] == pytest.approx(
        [row["loss"] for row in history]
    )
    assert {"train/forget", "train/tokens", "train/gradient_norm"} <= set(events.Tags()["scalars"])


def test_balanced_steps_show_events_later_and_a_value_that_is_not_finite_is_null(finetuned, tmp_path):
    path = tmp_path / "steps.jsonl"
    trainer = unlearner(finetuned, "gd+bgd", tmp_path, log=path, max_steps=3, options={"event_growth": 0.25})
    loss = trainer.method.loss
    trainer.method.loss = lambda views: loss(views) * (float("nan") if trainer.state.global_step == 2 else 1)
    trainer.run()
    rows = lines(path)
    assert [("forget_event" in row, row["epoch"]) for row in rows] == [
        (False, round(4 / 6, 3)), (True, round(8 / 6, 3)), (True, round(12 / 6, 3)),
    ]  # fmt: skip
    assert rows[2]["loss"] is None and rows[2]["gradient_norm"] is None and rows[2]["forget_event"] > 0


def test_trackers_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"training.trackers: 'tensorbord' is unknown; known: tensorboard, wandb"
    ):
        trackers(["tensorbord"], None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        RuntimeError, match=r"asks for wandb, but the package is not installed .*pip install wandb"
    ):
        trackers(["wandb"], tmp_path)


def test_trackers_get_numbers_that_are_finite():
    row = {"step": 3, "loss": float("nan"), "forget": 1.5, "gradient_norm": None, "tokens": {"a": 2, "b": 3}}
    assert tracked(row) == {"forget": 1.5, "tokens": 5}
