"""One safetensors file with the features of many pictures: written as they come, read one by one.

The tensor `features` lies under the image id, any other under `<image id>#<name>`. Thousands of pictures of a large
model are far more than memory holds (8,000 of LLaVA-NeXT: 190 GB).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mmunlearn.models.base import Features
from mmunlearn.records import RecordError

MAIN, PADDING = "features", "padding"
DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int32: "I32", torch.uint8: "U8",
}  # fmt: skip
ENTRY = 200  # bytes of the header beside a key, at most


def write_features(path: Path, encoded: Iterable[tuple[str, Features]], ids: Sequence[str]) -> None:
    """Write pictures one after the other; the header, whose room is kept free, comes last.

    Args:
        encoded: image id and features on the CPU; every picture has tensors of the same names.
        ids: all image ids.
    """
    header: dict[str, Any] = {}
    room, offset = 8, 0
    with path.open("wb") as file:
        for image_id, features in encoded:
            if not header:
                room = sum(2 * len(name) + ENTRY for name in [*features, PADDING]) * len(ids)
                room += 8 + sum(map(len, map(str.encode, ids))) * 6 * (1 + len(features))
                room += -room % 8
                file.seek(8 + room)
            for name, tensor in features.items():
                data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
                header[_key(image_id, name)] = _entry(
                    DTYPES[tensor.dtype], list(tensor.shape), offset, len(data)
                )
                offset += file.write(data)
            if gap := -offset % 8:  # tensors of any dtype start at a multiple of their size
                header[_key(image_id, PADDING)] = _entry("U8", [gap], offset, gap)
                offset += file.write(bytes(gap))
        text = json.dumps(header).encode()
        file.seek(0)
        file.write(room.to_bytes(8, "little") + text.ljust(room))


def _entry(dtype: str, shape: list[int], offset: int, size: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}


def _key(image_id: str, name: str) -> str:
    return image_id if name == MAIN else f"{image_id}#{name}"


class FeatureTable(Mapping[str, Features]):
    """Image id -> features, of several files; a picture is read when it is asked for."""

    def __init__(self, *paths: Path) -> None:
        """Read the headers. Raises RecordError where a file is damaged."""
        self._where: dict[str, tuple[Any, list[str]]] = {}
        for path in paths:
            try:
                file = safe_open(path, framework="pt")
                keys = list(file.keys())
            except Exception as error:
                raise RecordError(f"{path} holds no features ({error}): delete it and rerun") from error
            names: dict[str, list[str]] = {}
            for key in keys:
                image_id, _, name = key.partition("#")
                if name != PADDING:
                    names.setdefault(image_id, []).append(name or MAIN)
            self._where |= {image_id: (file, sorted(each)) for image_id, each in names.items()}

    def __getitem__(self, image_id: str) -> Features:
        file, names = self._where[image_id]
        return {name: file.get_tensor(_key(image_id, name)) for name in names}

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)
