"""Several adapters on one loaded base, and which of them a question is asked of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel

from mmunlearn.models.base import Base
from mmunlearn.models.loading import add_adapter, load_adapter

BASE = "__base__"
"""In place of an adapter's name: the base without any, as peft calls it."""


def expert_name(task: str) -> str:
    """The name of a task's adapter. peft looks for names as parts of keys: `1` would be found in `layers.1`, and `a`
    in `lora_`."""
    return f"task-{task}"


@contextmanager
def with_experts(base: Base, folders: Mapping[str, Path]) -> Iterator[torch.nn.Module]:
    """The base with an adapter a task while the block runs, each checked as `load_adapter` does; without any, the base.

    Args:
        folders: of the adapters, by task.
    Raises:
        WeightsError: an adapter is not whole, not finite, not the one that was trained, or not of this base.
    """
    model: PeftModel | None = None
    try:
        for task, folder in folders.items():
            if model is None:
                model = load_adapter(base, folder, name=expert_name(task))
            else:
                add_adapter(model, folder, expert_name(task))
        yield (model or base.model).eval()
    finally:
        if model is not None:
            model.unload()


@contextmanager
def answering(model: torch.nn.Module, adapter: str | None) -> Iterator[None]:
    """One adapter answers while the block runs, or `BASE`; None: whichever is active."""
    if adapter is None or not isinstance(model, PeftModel):
        yield
    elif adapter == BASE:
        with model.disable_adapter():
            yield
    else:
        model.set_adapter(adapter, inference_mode=True)
        yield


def expert_bytes(model: torch.nn.Module, task: str) -> tuple[int, int]:
    """Bytes and numbers of a task's adapter on the loaded model; of all that is no adapter, where the task is empty."""
    part = f".{expert_name(task)}." if task else ""
    found = [
        value
        for name, value in (*model.named_parameters(), *model.named_buffers())
        if (part in name if part else ".lora_" not in name)
    ]
    return sum(value.nbytes for value in found), sum(value.numel() for value in found)
