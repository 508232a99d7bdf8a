"""The log of steps as it grows, and trackers."""

from __future__ import annotations

import json
import sys

import pytest

from mmunlearn.training.logs import Watching, tracked, trackers
from mmunlearn.training.settings import Machine
from tests.unit.training_fixtures import make_finetuned, unlearner

KEYS = [
    "step",
    "epoch",
    "loss",
    "forget",
    "retain",
    "gradient_norm",
    "learning_rate",
    "tokens",
    "seconds",
    "memory_gb",
]


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    return make_finetuned(tmp_path_factory.mktemp("finetuned"))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_line_a_step_as_it_happens(finetuned, tmp_path):
    path = tmp_path / "deep" / "steps.jsonl"
    made = unlearner(
        finetuned, "gd", tmp_path, warmup_steps=2, more={"watching": Watching(path), "examples": 8}
    )
    loss, seen = made.method.loss, []

    def looks(views):
        seen.append(len(lines(path)))
        return loss(views)

    made.method.loss = looks
    history = made.run()
    assert seen == [0, 1, 2, 3, 4, 5], "a line is there as soon as its step is done"
    rows = lines(path)
    assert [list(row) for row in rows] == [KEYS] * 6
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in rows] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [row["learning_rate"] for row in rows][:3] == pytest.approx([0, 5e-3, 1e-2])
    assert all(row["gradient_norm"] > 0 and row["memory_gb"] > 0 for row in rows)
    assert all(row["tokens"]["retain"] > row["tokens"]["forget"] > 0 for row in rows)
    assert [row["loss"] for row in rows] == [row["loss"] for row in history]
    for row in rows:
        assert row["loss"] == pytest.approx(row["retain"] - row["forget"], abs=1e-5)


def test_a_value_that_is_not_finite_is_null(finetuned, tmp_path):
    path = tmp_path / "steps.jsonl"
    made = unlearner(finetuned, "ga", tmp_path, more={"watching": Watching(path)})
    loss = made.method.loss
    made.method.loss = lambda views: loss(views) * float("nan")
    made.run()
    (row,) = lines(path)
    assert row["loss"] is None and row["gradient_norm"] is None and row["forget"] > 0


def test_balanced_steps_show_events_later(finetuned, tmp_path):
    path = tmp_path / "steps.jsonl"
    more = {"watching": Watching(path), "examples": 7}
    options = {"event_growth": 0.25}
    unlearner(finetuned, "gd+bgd", tmp_path, steps=3, options=options, more=more).run()
    assert [("forget_event" in row, row["epoch"]) for row in lines(path)] == [
        (False, round(4 / 7, 3)), (True, round(8 / 7, 3)), (True, round(12 / 7, 3)),
    ]  # fmt: skip


def test_tensorboard_gets_every_step(finetuned, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watching = Watching(trackers=tmp_path / "logs" / "seed-1", name="tiny/gd-person05/seed-1")
    more = {"watching": watching, "machine": Machine(trackers=("tensorboard",))}
    history = unlearner(finetuned, "gd", tmp_path, more=more).run()
    events = EventAccumulator(str(watching.trackers)).Reload()
    losses = events.Scalars("train/loss")
    assert [one.step for one in losses] == [1, 2, 3, 4, 5, 6]
    assert [one.value for one in losses] == pytest.approx([row["loss"] for row in history])
    assert {"train/forget", "train/tokens", "train/gradient_norm"} <= set(events.Tags()["scalars"])


def test_trackers_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"training.trackers: 'tensorbord' is unknown; known: tensorboard, wandb"
    ):
        trackers(["tensorbord"], Watching())
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        RuntimeError, match=r"asks for wandb, but the package is not installed .*pip install wandb"
    ):
        trackers(["wandb"], Watching(trackers=tmp_path))


def test_trackers_get_numbers_that_are_finite():
    row = {"step": 3, "loss": float("nan"), "forget": 1.5, "gradient_norm": None, "tokens": {"a": 2, "b": 3}}
    assert tracked(row) == {"forget": 1.5, "tokens": 5}
