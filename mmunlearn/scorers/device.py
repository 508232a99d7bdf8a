"""Where networks draw, score and retrieve: `images.device`."""

from __future__ import annotations


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
