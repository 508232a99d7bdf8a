"""Draws and measures pictures, keeping both on disk, so that no restart draws or scores anything twice.

Both lie outside the declared outputs (Snakemake deletes those before a job starts), are named by a digest of
everything that shaped them, and are written atomically: a unit of pictures is there as a whole or not at all.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from mmunlearn.backends import GENERATORS, SCORERS
from mmunlearn.records import Prompt, atomic_path, digest_of, sha256_of
from mmunlearn.scorers.protocol import Scorers, Sight
from mmunlearn.synthesis.generate import DrawRequest, Generator

SUMS = "sha256.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A drawn picture with what the scorers see in it."""

    request: DrawRequest
    path: Path
    sha256: str
    sight: Sight


@dataclass(frozen=True)
class PictureSettings:
    """How pictures are drawn and scored: leaf values of `images` in the configuration."""

    generator: str
    generator_options: Mapping[str, Any]
    scorers: str
    scorers_options: Mapping[str, Any]
    size: int
    guidance_scales: Sequence[float]
    seed: int
    device: str


class Studio:
    """A generator and scorers over a store on disk."""

    def __init__(
        self,
        generator: Generator,
        scorers: Scorers,
        settings: PictureSettings,
        work: Path,
        planned: Sequence[Prompt] = (),
    ) -> None:
        """`planned`: the prompts that this job may draw."""
        self._generator, self._scorers, self._settings = generator, scorers, settings
        self._planned = list(planned)
        self.name = generator.name
        drawn_by = [generator.name, generator.version]
        self._draws = work / "draws" / digest_of(drawn_by)
        self._features = work / "features" / digest_of([drawn_by, scorers.version])

    @classmethod
    def open(
        cls, prompts: Sequence[Prompt], settings: PictureSettings, work: Path, planned: Sequence[Prompt]
    ) -> Studio:
        """The generator and the scorers that the settings name; `prompts` are those of the whole data set."""
        where = {"device": settings.device}
        generator = GENERATORS.load(settings.generator)(
            prompts, {**settings.generator_options, **where}, seed=settings.seed, work=work
        )
        scorers = SCORERS.load(settings.scorers)({**settings.scorers_options, **where})
        return cls(generator, scorers, settings, work, planned)

    def measure(self, prompt: Prompt, attempts: range) -> list[Measured]:
        """Draw and score a unit of attempts at a prompt; what the store holds already is read from there."""
        unit = [self._request(prompt, attempt) for attempt in attempts]
        key = f"{prompt.image_id}-a{attempts[0]:02d}-{digest_of([asdict(request) for request in unit])[:8]}"
        folder = self._draws / key
        if (sums := _checked(folder)) is None:
            sums = self._draw(unit, folder)
        return [self._measured(request, folder / _file(request), sums[_file(request)]) for request in unit]

    def _request(self, prompt: Prompt, attempt: int) -> DrawRequest:
        settings = self._settings
        return DrawRequest.make(
            prompt,
            attempt,
            base_seed=settings.seed,
            guidance_scales=settings.guidance_scales,
            size=settings.size,
        )

    def _draw(self, unit: Sequence[DrawRequest], folder: Path) -> dict[str, str]:
        """Draw a unit into its folder; the pictures' checksums, which are kept beside them."""
        if self._planned:
            self._generator.prepare(self._planned)
            self._planned = []
        self._draws.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".unit-", dir=self._draws) as temporary:
            made = Path(temporary, folder.name)
            made.mkdir()
            for request, image in zip(unit, self._generator.draw(unit), strict=True):
                image.save(made / _file(request), format="PNG")
            sums = {path.name: sha256_of(path) for path in sorted(made.iterdir())}
            (made / SUMS).write_text(json.dumps(sums), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        return sums

    def _measured(self, request: DrawRequest, picture: Path, sha256: str) -> Measured:
        cached = self._features / f"{picture.parent.name}-{picture.stem}-{sha256[:12]}.npz"
        sight = _read_sight(cached)
        if sight is None:
            with Image.open(picture) as opened:
                sight = self._scorers.look(opened.convert("RGB"))
            with atomic_path(cached) as temporary:
                np.savez(temporary, **vars(sight))
        return Measured(request, picture, sha256, sight)


def _file(request: DrawRequest) -> str:
    return f"a{request.attempt:02d}.png"


def _checked(folder: Path) -> dict[str, str] | None:
    """Checksums of a unit's pictures, or None where any is missing or another than was drawn."""
    if not folder.exists():
        return None
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        changed = [name for name, sha256 in sums.items() if sha256_of(folder / name) != sha256]
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("%s is incomplete (%s): it is drawn again", folder, error)
        return None
    if changed:
        logger.warning("%s is damaged: it is drawn again", folder / changed[0])
        return None
    return sums


def _read_sight(path: Path) -> Sight | None:
    """What was seen before, or None where nothing is kept; a broken file is measured again."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            scalars = {"faces": int, "distortion": float, "aesthetic": float}
            values = {name: scalars.get(name, np.asarray)(kept[name]) for name in kept.files}
            return Sight(**values)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        logger.warning("%s is damaged (%s): it is measured again", path, error)
        return None
