"""Where networks draw, score and retrieve: `images.device`."""

from __future__ import annotations

import platform
from pathlib import Path


def device_of(setting: str) -> str:
    """The torch device of `auto` (the GPU where there is one), `cuda` or `cpu`.

    Raises:
        RuntimeError: `cuda`, where there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        raise RuntimeError(
            "images.device is cuda; found no GPU that torch can use; set images.device to auto"
        )
    return "cuda" if available and setting != "cpu" else "cpu"


def device_name(setting: str) -> str:
    """What the device is called, e.g. `NVIDIA A100-SXM4-80GB`; of a CPU its model, where the system tells it."""
    if device_of(setting) == "cuda":
        import torch

        return torch.cuda.get_device_name()
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.machine()
