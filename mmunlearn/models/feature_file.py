"""One safetensors file with what is kept of many pictures: written as they come, read one by one.

The tensor of part `features` lies under the image id, any other part under `<image id>#<part>`. Thousands of
pictures of a large model are far more than memory holds (8,000 of LLaVA-NeXT: 190 GB).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mmunlearn.records import RecordError

Feature = torch.Tensor | Mapping[str, torch.Tensor]
"""What is kept of a picture: named parts, or `features` (tokens, hidden) alone."""

MAIN, PADDING = "features", "padding"
DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int32: "I32", torch.uint8: "U8",
}  # fmt: skip
ENTRY = 200  # bytes of the header beside a key, at most


def parts_of(feature: Feature) -> Mapping[str, torch.Tensor]:
    """The named parts of what is kept of a picture."""
    return {MAIN: feature} if isinstance(feature, torch.Tensor) else feature


def write_features(
    path: Path, encoded: Iterable[tuple[str, Mapping[str, torch.Tensor]]], ids: Sequence[str]
) -> None:
    """Write pictures one after the other; the header, whose room is kept free, comes last.

    Args:
        encoded: image id and parts on the CPU; every picture has the same parts.
        ids: all image ids.
    """
    header: dict[str, Any] = {}
    room, offset = 8, 0
    with path.open("wb") as file:
        for image_id, parts in encoded:
            if not header:
                room = sum(2 * len(name) + ENTRY for name in [*parts, PADDING]) * len(ids)
                room += 8 + sum(map(len, map(str.encode, ids))) * 6 * (1 + len(parts))
                room += -room % 8
                file.seek(8 + room)
            for name, part in parts.items():
                data = _bytes(part)
                key = image_id if name == MAIN else f"{image_id}#{name}"
                header[key] = _entry(DTYPES[part.dtype], list(part.shape), offset, len(data))
                offset += file.write(data)
            if gap := -offset % 8:  # tensors of any dtype start at a multiple of their size
                header[f"{image_id}#{PADDING}"] = _entry("U8", [gap], offset, gap)
                offset += file.write(bytes(gap))
        text = json.dumps(header).encode()
        file.seek(0)
        file.write(room.to_bytes(8, "little") + text.ljust(room))


def _entry(dtype: str, shape: list[int], offset: int, size: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}


def _bytes(part: torch.Tensor) -> bytes:
    return part.contiguous().flatten().view(torch.uint8).numpy().tobytes()


class FeatureTable(Mapping[str, Feature]):
    """Image id -> feature, of several files; a picture is read when it is asked for.

    A picture of one part `features` is that tensor, any other a mapping of parts.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the headers. Raises RecordError where a file is damaged."""
        self._where: dict[str, tuple[Any, list[str]]] = {}
        for path in paths:
            try:
                file = safe_open(path, framework="pt")
                keys = list(file.keys())
            except Exception as error:
                raise RecordError(f"{path} holds no features ({error}): delete it and rerun") from error
            parts: dict[str, list[str]] = {}
            for key in keys:
                image_id, _, name = key.partition("#")
                if name != PADDING:
                    parts.setdefault(image_id, []).append(name or MAIN)
            self._where |= {image_id: (file, sorted(names)) for image_id, names in parts.items()}

    def __getitem__(self, image_id: str) -> Feature:
        file, names = self._where[image_id]
        if names == [MAIN]:
            return file.get_tensor(image_id)
        return {name: file.get_tensor(image_id if name == MAIN else f"{image_id}#{name}") for name in names}

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)
