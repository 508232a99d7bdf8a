"""Draws and measures pictures, keeping both on disk, so that no restart draws or scores anything twice.

Both lie outside the declared outputs (Snakemake deletes those before a job starts), are named by a digest of
everything that shaped them, and are written atomically.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from mmunlearn.backends import backend
from mmunlearn.records import Prompt, atomic_path, digest_of, sha256_of
from mmunlearn.scorers.protocol import Scorers
from mmunlearn.synthesis.generate import DrawRequest, Generator

AT_RISK = 8  # pictures that are drawn before any is saved: what a killed job may lose
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A drawn picture with what the scorers see in it; features are (D,) float32, NaN where there is none."""

    request: DrawRequest
    path: Path
    sha256: str
    face: np.ndarray
    scene: np.ndarray
    subject: np.ndarray
    distortion: float
    aesthetic: float


@dataclass(frozen=True)
class PictureSettings:
    """How pictures are drawn and scored: leaf values of `images` in the configuration."""

    generator: str
    scorers: str
    weights: str
    size: int
    guidance_scales: Sequence[float]
    defect_rate: float
    seed: int


class Studio:
    """A generator and scorers over a store on disk."""

    def __init__(self, generator: Generator, scorers: Scorers, settings: PictureSettings, work: Path) -> None:
        self._generator, self._scorers, self._settings = generator, scorers, settings
        self.name = generator.name
        drawn_by = [generator.name, generator.version]
        self._draws = work / "draws" / digest_of(drawn_by)
        self._features = work / "features" / digest_of([drawn_by, scorers.version])

    @classmethod
    def open(cls, prompts: Sequence[Prompt], settings: PictureSettings, work: Path) -> Studio:
        """The generator and the scorers that the settings name."""
        generator = backend("generator", settings.generator)(
            prompts, defect_rate=settings.defect_rate, seed=settings.seed
        )
        return cls(generator, backend("scorers", settings.scorers)(settings.weights), settings, work)

    def measure(self, wanted: Sequence[tuple[Prompt, int]]) -> list[Measured]:
        """Draw and score (prompt, attempt) pairs; what the store holds already is read from there."""
        requests = [self._request(prompt, attempt) for prompt, attempt in wanted]
        pictures = [self._draws / f"{_key(request)}.png" for request in requests]
        missing = [
            (request, path) for request, path in zip(requests, pictures, strict=True) if not _readable(path)
        ]
        for start in range(0, len(missing), AT_RISK):
            part = missing[start : start + AT_RISK]
            drawn = self._generator.draw([request for request, _ in part])
            for image, (_, path) in zip(drawn, part, strict=True):
                with atomic_path(path) as temporary:
                    image.save(temporary, format="PNG")
        return [self._measured(*pair) for pair in zip(requests, pictures, strict=True)]

    def _request(self, prompt: Prompt, attempt: int) -> DrawRequest:
        settings = self._settings
        return DrawRequest.make(
            prompt,
            attempt,
            base_seed=settings.seed,
            guidance_scales=settings.guidance_scales,
            size=settings.size,
        )

    def _measured(self, request: DrawRequest, picture: Path) -> Measured:
        sha256 = sha256_of(picture)
        cached = self._features / f"{_key(request)}-{sha256[:12]}.npz"
        values = _read_features(cached)
        if values is None:
            values = self._score(picture)
            with atomic_path(cached) as temporary:
                np.savez(temporary, **values)
        return Measured(
            request,
            picture,
            sha256,
            values["face"],
            values["scene"],
            values["subject"],
            float(values["distortion"]),
            float(values["aesthetic"]),
        )

    def _score(self, picture: Path) -> dict[str, np.ndarray]:
        with Image.open(picture) as opened:
            image = [opened.convert("RGB")]
        scorers = self._scorers
        return {
            "face": scorers.face.embed(image)[0],
            "scene": scorers.scene.embed(image)[0],
            "subject": scorers.subject.embed(image)[0],
            "distortion": scorers.distortion.rate(image)[0],
            "aesthetic": scorers.aesthetic.rate(image)[0],
        }


def _key(request: DrawRequest) -> str:
    return f"{request.image_id}-a{request.attempt:02d}-{digest_of(asdict(request))[:8]}"


def _readable(path: Path) -> bool:
    """Whether a complete picture lies there; a broken one is removed, to be drawn again."""
    if not path.exists():
        return False
    try:
        with Image.open(path) as image:
            image.load()
        return True
    except (OSError, SyntaxError, ValueError) as error:
        logger.warning("%s is damaged (%s): it is drawn again", path, error)
        path.unlink()
        return False


def _read_features(path: Path) -> dict[str, np.ndarray] | None:
    """Cached features, or None where there are none; a broken file is measured again."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as values:
            return {name: values[name] for name in values.files}
    except (OSError, ValueError, BadZipFile) as error:
        logger.warning("%s is damaged (%s): it is measured again", path, error)
        return None
