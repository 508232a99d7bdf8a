"""Generator `files`: pictures that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.pictures import open_picture
from mmunlearn.records import Prompt, RecordError, sha256_of
from mmunlearn.synthesis.generate import DrawRequest, Generator


class PictureFiles(Generator):
    """Opens the file that a prompt names, as RGB, its longer side at most `size` pixels. There is one attempt.

    Args:
        prompts, seed, work: not used.
        options: `folder`, where the files lie.
    """

    name, version = "files", "1"

    def __init__(
        self, prompts: Sequence[Prompt], options: Mapping[str, Any], *, seed: int, work: Path
    ) -> None:
        self._folder = Path(options["folder"])

    def draw(self, unit: Sequence[DrawRequest]) -> list[Image.Image]:
        """Raises RecordError for a further attempt, and where a file is gone, damaged, or another than was listed."""
        return [self._open(request) for request in unit]

    def _open(self, request: DrawRequest) -> Image.Image:
        if request.attempt:
            raise RecordError(
                f"Asked for a further picture of {request.image_id}. Found the one that was listed. Set "
                "images.generator to one that draws, or leave out what needs unseen pictures (robustness)."
            )
        path, listed = self._folder / request.drawing["file"], request.drawing["sha256"]
        found = sha256_of(path) if path.is_file() else "no file"
        if found != listed:
            raise RecordError(
                f"Asked {path} for the picture that was listed, of SHA-256 {listed[:12]}. Found {found[:12]}. Put it "
                "back, or run list_pictures again (--forcerun list_pictures)."
            )
        picture = open_picture(path)
        picture.thumbnail((request.size, request.size), Image.Resampling.LANCZOS)
        return picture
