"""Conversion of published weights, which are pickles, to safetensors."""

from __future__ import annotations

import pickle
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmunlearn.records import atomic_path
from mmunlearn.weights.errors import WeightsError, brief
from mmunlearn.weights.tensors import finite

WRAPPERS = ("params", "params_ema", "state_dict")
"""Keys under which some publishers put the state dict."""

OFFENDING = re.compile(r"GLOBAL ([\w.]{1,100})")
"""In torch's refusal: what a pickle would call. The rest of that text advises to load the file without protection."""


def convert_pickled(
    source: Path,
    target: Path,
    *,
    drop_prefixes: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
) -> None:
    """Write a pickled state dict as safetensors; nothing but tensors is unpickled (`weights_only`).

    Args:
        source: .pt, .pth or .bin: a state dict, or a dict with one under a key of `WRAPPERS`.
        target: safetensors file, written whole or not at all.
        drop_prefixes: tensors whose names start so are left out.
        rename: prefix of a name -> what replaces it, after dropping; the first that fits counts.

    Raises:
        WeightsError: no such file, it holds other things than tensors, or two names become one.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in _state_dict(_unpickle(source), source).items():
        if name.startswith(tuple(drop_prefixes)):
            continue
        new = _renamed(name, rename or {})
        if new in tensors:
            raise _refusal(source, f"two tensors that are both renamed to {new}", "correct `rename`")
        # A copy each: safetensors takes neither shared nor strided memory.
        tensors[new] = tensor.detach().clone(memory_format=torch.contiguous_format)
    if wrong := [name for name, tensor in tensors.items() if not finite(tensor)]:
        raise _refusal(source, f"tensors that are not finite: {wrong[:5]}", "fetch the published file again")
    if not tensors:
        raise _refusal(source, "no tensor to keep", "correct `drop_prefixes` or fetch the right file")
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def _unpickle(source: Path) -> Any:
    if not Path(source).is_file():
        raise _refusal(source, "no such file", "run rule fetch_weights, which fetches it")
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        if not isinstance(error, pickle.UnpicklingError) and "weights_only" not in str(error):
            what = f"no whole torch file ({brief(error)})"
            raise _refusal(source, what, "move it away and run rule fetch_weights again") from error
        name = OFFENDING.search(str(error))
    named = f" ({name[1]})" if name else ""
    raise _refusal(  # outside the handler: a traceback would print torch's advice
        source,
        f"more than tensors{named} or no torch file",
        "do not load it otherwise: it may run code; fetch the published file again",
    )


def _state_dict(content: Any, source: Path) -> dict[str, Tensor]:
    """The state dict itself, out of its wrapper."""
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise _refusal(source, f"a {type(content).__name__}, no state dict", "fetch the right file")
    others = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise _refusal(source, f"entries that are no tensors: {others[:5]}", "fetch the right file")
    return content


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    for prefix, new in rename.items():
        if name.startswith(prefix):
            return new + name.removeprefix(prefix)
    return name


def _refusal(source: Path, what: str, remedy: str) -> WeightsError:
    return WeightsError(f"asked to convert the weights in {source}; found: {what}; {remedy}")
