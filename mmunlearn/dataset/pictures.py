"""A mapping from image id to a picture file of somebody else's, opened when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.pictures import open_picture
from mmunlearn.records import RecordError, sha256_of


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as it is stored. `name` is what errors call it; `data` is its file, or its bytes."""

    name: str
    data: Path | bytes

    def open(self, size: int | None = None) -> Image.Image:
        """The picture upright and in RGB, its longer side at most `size` pixels; a smaller one is kept as it is.

        Raises:
            RecordError: as of `open_picture`; names it.
        """
        image = open_picture(self.data, self.name)
        if size is not None:
            image.thumbnail((size, size), Image.Resampling.LANCZOS)
        return image

    def sha256(self) -> str:
        """SHA-256 of the stored bytes, hexadecimal. Raises RecordError where the file cannot be read."""
        if isinstance(self.data, bytes):
            return hashlib.sha256(self.data).hexdigest()
        try:
            return sha256_of(self.data)
        except OSError as error:
            raise RecordError(f"{self.name} cannot be read ({error}): put an intact copy there") from error


class Pictures(Mapping[str, Image.Image]):
    """Pictures by image id; each is opened anew at every access, so that a large set never lies in memory.

    `tables` are rows to be written beside the pictures, by file name (see `build_reference_set`).
    """

    def __init__(
        self,
        stored: Mapping[str, EncodedPicture],
        size: int,
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        """`size`: longest side of an opened picture, pixels."""
        self._stored, self._size = dict(stored), size
        self.tables = dict(tables or {})

    def __getitem__(self, image_id: str) -> Image.Image:
        return self._stored[image_id].open(self._size)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)
