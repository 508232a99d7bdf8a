"""Tensors on disk: a safetensors file is read strictly, tensor by tensor, and holds exactly what was meant.

No file is mapped into memory: one larger than it can be read, and nothing that is read can change the file.
"""

from __future__ import annotations

import gc
import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmunlearn.weights.errors import WeightsError

if TYPE_CHECKING:
    import torch

DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1), "I64": ("int64", 8), "I32": ("int32", 4),
    "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1), "BOOL": ("bool", 1),
}  # fmt: skip
"""Name of a type in a file -> its name in torch, and bytes of a number."""
NAMED = 4  # keys of a kind that an error names

Shapes = Mapping[str, tuple[int, ...]]


class Entry(NamedTuple):
    """Where a tensor lies in a file: bytes from its beginning on."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: str | Path) -> dict[str, Entry]:
    """Name -> entry of a safetensors file's tensors.

    Raises:
        ValueError: it is no whole safetensors file; says what is wrong, without the path.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"{size:,} bytes, too few for its header")
        try:
            header = json.loads(file.read(length))
        except RecursionError:
            raise ValueError("a header that is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header holds no tensors")
    header.pop("__metadata__", None)
    entries = {name: _entry(name, row, 8 + length) for name, row in header.items()}
    promised = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != promised:
            raise ValueError(f"the header lets {name} overlap another tensor, or leaves a gap before it")
        promised = entry.end
    if size != promised:
        raise ValueError(f"{size:,} bytes, not {promised:,}")
    return entries


def _entry(name: str, row: Any, begin: int) -> Entry:
    try:
        shape, (start, end) = tuple(row["shape"]), row["data_offsets"]
        size = DTYPES[row["dtype"]][1] * prod(shape)
        sound = {type(one) for one in (*shape, start, end)} == {int} and min(*shape, start, end) >= 0
        sound = sound and end - start == size
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"the header's row of {name} cannot be read: {error!r}") from error
    if not sound:
        raise ValueError(f"the header gives {name} {end - start} bytes for shape {list(shape)}")
    return Entry(row["dtype"], shape, begin + start, begin + end)


class TensorFile(Mapping[str, "torch.Tensor"]):
    """The tensors of a safetensors file, by name; each is read when it is asked for, onto the CPU.

    Args:
        remedy: what to do about a file that is not as it should be, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is no whole safetensors file; later, a tensor that is read holds inf or nan.
    """

    def __init__(self, path: str | Path, remedy: str) -> None:
        self.path, self.remedy = Path(path), remedy
        try:
            self.entries = read_header(path)
        except ValueError as error:
            what = f"no whole safetensors file ({error})"
            raise WeightsError(
                f"asked for the {self.path.stem} weights in {path}; found: {what}; {remedy}"
            ) from error
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def shapes(self) -> Shapes:
        """Name -> shape."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        entry = self.entries[name]
        tensor = torch.empty(entry.shape, dtype=getattr(torch, DTYPES[entry.dtype][0]))
        buffer = memoryview(tensor.flatten().view(torch.uint8).numpy())
        while len(buffer):
            count = os.preadv(self._descriptor, [buffer], entry.end - len(buffer))
            if not count:
                raise WeightsError(f"asked for {name} in {self.path}; found: the file cut off; {self.remedy}")
            buffer = buffer[count:]
        if not finite(tensor):
            refuse(self.path, {"not finite": [name]}, self.remedy)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def finite(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds neither inf nor nan; their sum shows either, at a fraction of the memory."""
    import torch

    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.element_size() == 1:
        tensor = tensor.float()
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).item()
    return isfinite(total) or bool(torch.isfinite(tensor).all())


def free_memory() -> None:
    """Give back what dropped models held, on the CPU and on the GPU; trainers and their callbacks hold each other."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def check_shapes(path: str | Path, found: Shapes, expected: Shapes, remedy: str) -> None:
    """Refuse a file whose tensors are not exactly those expected. Raises WeightsError with file and keys."""
    shared = [name for name in expected if name in found]
    refuse(
        path,
        {
            "missing": [name for name in expected if name not in found],
            "unexpected": [name for name in found if name not in expected],
            "misshapen": [
                f"{name} {list(found[name])} instead of {list(expected[name])}"
                for name in shared
                if tuple(found[name]) != tuple(expected[name])
            ],
        },
        remedy,
    )


def check_finite(path: str | Path, state: Mapping[str, torch.Tensor], remedy: str) -> None:
    """Refuse a file that gave tensors with inf or nan. Raises WeightsError with file and keys."""
    refuse(path, {"not finite": [name for name, value in state.items() if not finite(value)]}, remedy)


def check_loaded(path: str | Path, info: Mapping[str, Any], remedy: str) -> None:
    """Refuse what `from_pretrained(output_loading_info=True)` could not load exactly. Raises WeightsError with keys."""
    misshapen = [
        f"{name} {list(found)} instead of {list(wanted)}" for name, found, wanted in info["mismatched_keys"]
    ]
    problems = {
        "missing": info["missing_keys"],
        "unexpected": info["unexpected_keys"],
        "misshapen": misshapen,
    }
    refuse(path, {**problems, "not loaded": info.get("error_msgs", ())}, remedy)


def refuse(path: str | Path, problems: Mapping[str, Iterable[str]], remedy: str) -> None:
    """Raise WeightsError if there is any problem: kind of problem -> keys of tensors."""
    texts = []
    for kind, keys in problems.items():
        if names := sorted(map(str, keys)):
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            texts.append(f"{kind}: {', '.join(names[:NAMED])}{more}")
    if texts:
        raise WeightsError(
            f"asked for the {Path(path).stem} weights in {path}; found: {'; '.join(texts)}; {remedy}"
        )


def read_tensors(path: str | Path, expected: Shapes | None, remedy: str) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, which are finite and exactly those expected (None: any).

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is damaged, or tensors are missing, unexpected, misshapen or not finite; names file and keys.
    """
    file = TensorFile(path, remedy)
    if expected is not None:
        check_shapes(path, file.shapes, expected, remedy)
    return dict(file)


def shapes_of(state: Mapping[str, torch.Tensor]) -> Shapes:
    """Name -> shape of a state dict."""
    return {name: tuple(value.shape) for name, value in state.items()}
