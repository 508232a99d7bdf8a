"""How a training run is followed: one JSON line an optimizer step, a progress bar, and trackers."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmunlearn.progress import progress
from mmunlearn.provenance import peak_memory_gb

TRACKERS = ("tensorboard", "wandb")
FIRST = ("step", "epoch", "loss")  # of a line, before the views
LAST = ("gradient_norm", "learning_rate", "tokens", "seconds", "memory_gb", "average", "samples")


class StepLog(TrainerCallback):
    """Completes the row of every step and appends it to a file, one JSON object a line, flushed as it happens.

    A row holds the step, the epoch (passes over the forget or training set), the loss, the CE of every view of the
    step, the gradient's norm before clipping, the learning rate, answer tokens by view, seconds, the peak memory in GB
    (of the GPU, else resident), the average that CE and loss are (`training.average`), and questions by view.

    The rows travel in the checkpoint, too: what a resumed job appends to are the lines up to its checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, None
        self._at = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._at = time.monotonic()
        if state.is_world_process_zero:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8")
            for row in state.log_history:
                self._write(row)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.monotonic()
        row = state.log_history[-1]
        row |= {"seconds": round(now - self._at, 3), "memory_gb": peak_memory_gb()}
        self._at = now
        if self._file is not None:
            self._write(row)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, row: Mapping[str, Any]) -> None:
        views = [key for key in row if key not in (*FIRST, *LAST)]
        ordered = {key: row[key] for key in (*FIRST, *sorted(views), *LAST)}
        plain = {key: finite(value) if isinstance(value, float) else value for key, value in ordered.items()}
        self._file.write(json.dumps(plain) + "\n")
        self._file.flush()


class Progress(TrainerCallback):
    """A bar over the planned steps with the last loss."""

    _bar = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._bar = progress(None, "training", total=state.max_steps, unit="step")
            self._bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{state.log_history[-1]['loss']:.3f}", refresh=False)
            self._bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def trackers(names: Sequence[str], folder: Path | None) -> list[TrainerCallback]:
    """The library's callbacks of some TRACKERS.

    They write into the folder, by default `logs`; keys and further settings come from the environment
    (WANDB_API_KEY, ...).

    Raises:
        ValueError: an unknown tracker.
        RuntimeError: a tracker's package is not installed.
    """
    return [_tracker(name, folder or Path("logs")) for name in names]


def _tracker(name: str, folder: Path) -> TrainerCallback:
    from transformers.integrations import TensorBoardCallback, WandbCallback

    if name not in TRACKERS:
        raise ValueError(f"training.trackers: '{name}' is unknown; known: {', '.join(TRACKERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            return TensorBoardCallback(SummaryWriter(folder))
        os.environ.setdefault("WANDB_DIR", str(folder))
        os.environ.setdefault("WANDB_PROJECT", "mmunlearn")
        return WandbCallback()
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"training.trackers asks for {name}, but the package is not installed ({error}); "
            f"run `pip install {name}`, or take {name} out of training.trackers"
        ) from error


def tracked(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a step's row, as trackers take them; those that are not finite are left out."""
    tokens = {"tokens": sum(row["tokens"].values())}
    numbers = {key: value for key, value in row.items() if isinstance(value, int | float) and key != "step"}
    return {key: value for key, value in (numbers | tokens).items() if math.isfinite(value)}


def finite(value: float) -> float | None:
    """The value, None where it is none."""
    return value if math.isfinite(value) else None
