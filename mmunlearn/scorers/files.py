"""Weights of the paper's networks on disk: read strictly, refused with what to do about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.tensors import check_shapes, read_tensors, shapes_of

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "model.safetensors"
"""File of a network's state dict in its folder; open_clip names its own."""
REMEDY = (
    "rule fetch_weights makes this file: name its folder in images.networks, or move the folder away and run that "
    "rule again"
)


def refusal(path: Path, what: str) -> WeightsError:
    """The error that says which file was asked for, what was found and what to do."""
    return WeightsError(f"asked for scorer weights in {path}; found: {what}; {REMEDY}")


def require_files(folder: str | Path, *names: str) -> Path:
    """The folder as a path. Raises WeightsError where it or one of the files in it is missing."""
    folder = Path(folder)
    for path in (folder, *(folder / name for name in names)):
        if not path.exists():
            raise refusal(path, "no such folder" if path == folder else "no such file")
    return folder


def load_state(folder: str | Path, name: str = WEIGHTS) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU, floating ones as float32.

    Raises:
        WeightsError: no such file, it is no whole safetensors file, or a tensor is not finite.
    """
    state = read_tensors(require_files(folder, name) / name, None, REMEDY)
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def build(make: Callable[[], nn.Module], state: dict[str, Tensor], path: Path) -> nn.Module:
    """The network that `make` makes, with exactly these tensors, in evaluation mode and without gradients.

    Made without first weights, hence without a draw from torch's random numbers.

    Args:
        make: makes the network.
        state: from `load_state`.
        path: the file, named in errors.

    Raises:
        WeightsError: a tensor is missing, unexpected or of another shape.
    """
    import torch

    with torch.device("meta"):
        network = make()
    check_shapes(path, shapes_of(state), shapes_of(network.state_dict()), REMEDY)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)
