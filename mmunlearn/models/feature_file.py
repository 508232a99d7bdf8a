"""One safetensors file with the features of many pictures: written as they come, read one by one.

The tensor `features` lies under the image id, any other under `<image id>#<name>`. Thousands of pictures of a large
model are far more than memory holds (8,000 of LLaVA-NeXT: 190 GB), so nothing is read but a header and the pictures
that are asked for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmunlearn.models.base import Features, Stored
from mmunlearn.records import RecordError
from mmunlearn.weights.tensors import DTYPES as TYPES
from mmunlearn.weights.tensors import NAMED, TensorFile, refuse

MAIN, PADDING = "features", "padding"
DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int32: "I32", torch.uint8: "U8",
}  # fmt: skip
ENTRY = 200  # bytes of the header beside a key, at most


def _remedy(*paths: Path) -> str:
    """What to do about files, whichever rule wrote them."""
    what = "job that wrote this file" if len(paths) == 1 else "jobs that wrote these files"
    names = shlex.join(map(str, paths))
    return f"run the {what} again, with the same --configfile: snakemake --cores 1 {names} --forcerun {names}"


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
    """Image id -> features, of several files; a picture is read when it is asked for.

    Raises:
        WeightsError: a file is damaged; later, a picture that is read holds inf or nan.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._where: dict[str, tuple[TensorFile, list[str]]] = {}
        for path in paths:
            file, names = TensorFile(path, _remedy(path)), {}
            for key in file:
                image_id, _, name = key.partition("#")
                if name != PADDING:
                    names.setdefault(image_id, []).append(name or MAIN)
            self._where |= {image_id: (file, sorted(each)) for image_id, each in names.items()}

    def __getitem__(self, image_id: str) -> Features:
        file, names = self._where[image_id]
        return {name: file[_key(image_id, name)] for name in names}

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def require(self, image_ids: Iterable[str]) -> None:
        """Refuse files that lack a picture, before a model is loaded. Raises RecordError with the first of them."""
        if lacking := [image_id for image_id in dict.fromkeys(image_ids) if image_id not in self]:
            first, *others = lacking
            more = f" (and of {len(others)} more, such as {', '.join(others[: NAMED - 1])})" if others else ""
            raise RecordError(
                f"features of picture {first}{more} are asked for, but there are none in "
                f"{', '.join(map(str, self._paths))}; {_remedy(*self._paths)}"
            )

    def check(self, stored: Mapping[str, Stored]) -> None:
        """Refuse files of another model, by their headers.

        Args:
            stored: `Base.stored` of the model.

        Raises:
            WeightsError: tensors of a picture are missing, unexpected or of another type or shape; names file and keys.
        """
        for file in {id(file): file for file, _ in self._where.values()}.values():
            problems: dict[str, list[str]] = {"missing": [], "unexpected": [], "of another model": []}
            for image_id, (of, names) in self._where.items():
                if of is not file:
                    continue
                problems["missing"] += [_key(image_id, name) for name in stored if name not in names]
                for name in names:
                    key = _key(image_id, name)
                    entry = file.entries[key]
                    if name not in stored:
                        problems["unexpected"].append(key)
                    elif not stored[name].fits(TYPES[entry.dtype][0], entry.shape):
                        found = f"{key} {TYPES[entry.dtype][0]} {list(entry.shape)}"
                        problems["of another model"].append(f"{found} instead of {stored[name]}")
            refuse(file.path, problems, file.remedy)
