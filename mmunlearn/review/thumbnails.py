"""Pictures on review pages: embedded small, and at full size by a path from the page to the file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from mmunlearn.pictures import open_picture


@dataclass(frozen=True)
class Size:
    """How a picture is embedded: longest side in pixels, and JPEG quality."""

    side: int
    quality: int


NORMAL = Size(384, 86)
LIGHT = Size(256, 70)
LIGHT_OVER = 500  # pictures on a page that are embedded light


def embedded_size(count: int) -> Size:
    """How pictures are embedded on a page of `count`."""
    return LIGHT if count > LIGHT_OVER else NORMAL


def thumbnail_uri(path: Path, size: Size) -> str:
    """A picture as an inlined JPEG."""
    small = open_picture(path)
    small.thumbnail((size.side, size.side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=size.quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def full_size_url(path: str | Path, page: Path) -> str:
    """The address of a picture file, relative to the page."""
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def probes(urls: Iterable[str]) -> list[str]:
    """Of every folder beside or above the page one address, as of `images` and of `work`."""
    first: dict[str, str] = {}
    for url in urls:
        top = next(part for part in PurePosixPath(url).parts if part != "..")
        first.setdefault(top, url)
    return list(first.values())
