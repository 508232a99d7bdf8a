"""What the benchmarks of training share: seconds and peak memory of a call, rows of a table, and a random LLaVA."""

from __future__ import annotations

import csv
import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

from mmunlearn.models.base import Base
from mmunlearn.models.families import FAMILIES
from mmunlearn.pocket.architecture import Sizes, build_model, build_processor, build_tokenizer


def measured(call: Callable[[], object], device: str) -> tuple[float, float]:
    """Seconds and peak bytes of one call, beyond what is there before.

    On CUDA the peak is the allocator's; on the CPU it is the largest resident memory, sampled while the call runs.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # what an earlier call has freed would hide what this one takes
    done, peak, before = threading.Event(), [0], _resident()

    def watch() -> None:
        while not done.wait(0.001):
            peak[0] = max(peak[0], _resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    return took, peak[0]


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def machine(device: str) -> dict[str, str]:
    """Where and with what something is measured: columns of a row."""
    return {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write_row(table: Path, row: Mapping[str, str], key: Sequence[str]) -> None:
    """Put a row into a table, in place of the one with the same key."""
    rows: list[Mapping[str, str]] = []
    if table.exists():
        with table.open(newline="") as file:
            rows = [one for one in csv.DictReader(file) if any(one[name] != row[name] for name in key)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        writer.writerows(sorted([*rows, row], key=lambda one: [one[name] for name in key]))


def random_llava(sizes: Sizes, texts: Sequence[str], dtype: str, device: str) -> Base:
    """A LLaVA of random weights, whose tokenizer has learnt some texts."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(texts, sizes.vocabulary)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            model = build_model(tokenizer, sizes).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    return FAMILIES.load("llava")(model, build_processor(tokenizer, sizes))


def moved(value: object, device: str) -> object:
    """Nested tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    return [moved(one, device) for one in value] if isinstance(value, list) else value
