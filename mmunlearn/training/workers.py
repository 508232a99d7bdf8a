"""Steps that other processes read and lay out while this one trains.

A step has hundreds of tensors. Between processes each would take an open file, and in pinned memory an allocation, so
they travel in one piece of memory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmunlearn.interrupts import SIGNALS

MEMORY, NEST = "memory", "nest"
ALIGNED = 64  # bytes; as torch's own allocations, so that nothing is computed otherwise


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the memory: its first byte, its type and its shape."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]


def packed(nest: Any) -> dict[str, Any]:
    """Dictionaries and lists of tensors and other values, with all tensors in one of bytes: `memory` and `nest`, which
    has a Place instead of each."""
    parts: list[Tensor] = []
    size = 0

    def place(tensor: Tensor) -> Place:
        nonlocal size
        data = tensor.contiguous().flatten().view(torch.uint8)
        parts.extend([data, torch.zeros(-len(data) % ALIGNED, dtype=torch.uint8)])
        size, start = size + len(parts[-2]) + len(parts[-1]), size
        return Place(start, tensor.dtype, tuple(tensor.shape))

    places = _replaced(nest, Tensor, place)
    return {MEMORY: torch.cat([torch.empty(0, dtype=torch.uint8), *parts]), NEST: places}


def unpacked(batch: dict[str, Any]) -> dict[str, Any]:
    """What `packed` was given; what it has not packed, as it is."""
    if MEMORY not in batch:
        return batch
    memory = batch[MEMORY]

    def tensor(place: Place) -> Tensor:
        size = place.dtype.itemsize * torch.Size(place.shape).numel()
        return memory[place.start : place.start + size].view(place.dtype).view(place.shape)

    return _replaced(batch[NEST], Place, tensor)


def _replaced(nest: Any, kind: type, change: Any) -> Any:
    if isinstance(nest, kind):
        return change(nest)
    if isinstance(nest, Mapping):
        return {key: _replaced(value, kind, change) for key, value in nest.items()}
    return [_replaced(value, kind, change) for value in nest] if isinstance(nest, list) else nest


def start_worker(_: int) -> None:
    """In a process that lays out: the one that trains hears of signals and ends it, after the step.

    A scheduler signals all processes of a job; without workers, the step that is being trained could not be ended.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # or they warn of the fork
