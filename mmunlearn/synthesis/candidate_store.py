"""Draws and measures pictures, keeping both on disk, so that no restart draws or scores anything twice.

Both lie outside the declared outputs (Snakemake deletes those before a job starts), are named by a digest of all that
shaped them, and are written atomically: a unit of pictures is there as a whole or not at all. Runs that share the
folder share the store; of two that draw a unit at one time the first one's counts for both. What drawing and scoring
took lies beside them, so that a shard that finds its pictures here does not pass for a fast one (see `drawing_cost`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.atomic import first_folder
from mmunlearn.backends import GENERATORS, SCORERS
from mmunlearn.ids import candidate_id
from mmunlearn.pictures import open_picture
from mmunlearn.records import Prompt, atomic_path, digest_of, sha256_of
from mmunlearn.scorers.device import device_name
from mmunlearn.scorers.protocol import Measurements
from mmunlearn.synthesis.generate import DrawRequest

SUMS, TOOK, SECONDS = "sha256.json", "took.json", "seconds"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPicture:
    """A drawn picture with what the scorers measure in it."""

    request: DrawRequest
    path: Path
    sha256: str
    measurements: Measurements


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


class CandidateStore:
    """A generator and scorers over a store on disk."""

    def __init__(
        self, prompts: Sequence[Prompt], settings: PictureSettings, work: Path, planned: Sequence[Prompt] = ()
    ) -> None:
        """Load the generator and the scorers that the settings name.

        Args:
            prompts: of the whole data set.
            planned: the prompts that this job may draw.
        """
        device = {"device": settings.device}
        self._settings, self._planned = settings, list(planned)
        self._generator = GENERATORS.load(settings.generator)(
            prompts, {**settings.generator_options, **device}, seed=settings.seed, work=work
        )
        self._scorers = SCORERS.load(settings.scorers)({**settings.scorers_options, **device})
        self.generator = self._generator.name
        identity = [self._generator.name, self._generator.version]
        self._draws = work / "draws" / digest_of(identity)
        self._features = work / "features" / digest_of([identity, self._scorers.version])

    @cached_property
    def _device(self) -> str:
        return device_name(self._settings.device)

    def get(self, prompt: Prompt, attempts: range) -> list[StoredPicture]:
        """The pictures of a unit of attempts at a prompt, drawn and measured now unless they are stored.

        Raises:
            RuntimeError: what was just drawn is damaged on the disk.
        """
        unit = [self._request(prompt, attempt) for attempt in attempts]
        digest = digest_of([asdict(request) for request in unit])[:8]
        folder = self._draws / f"{candidate_id(prompt.image_id, attempts[0])}-{digest}"
        names = [_file(request) for request in unit]
        sums = _checksums(folder, names) or self._draw(unit, folder)
        return [self._measure(request, folder / _file(request), sums[_file(request)]) for request in unit]

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
        """Draw a unit into its folder, the pictures' checksums beside them.

        Returns:
            File -> checksum, of who was first: other hardware may draw other bytes.
        """
        if self._planned:
            self._generator.prepare(self._planned)
            self._planned = []
        names = [_file(request) for request in unit]
        with first_folder(
            folder, sound=lambda: _checksums(folder, names, logging.DEBUG) is not None
        ) as unfinished:
            start = time.perf_counter()
            for name, image in zip(names, self._generator.draw(unit), strict=True):
                image.save(unfinished / name, format="PNG")
            seconds = time.perf_counter() - start
            sums = {name: sha256_of(unfinished / name) for name in names}
            (unfinished / SUMS).write_text(json.dumps(sums), encoding="utf-8")
            took = {SECONDS: seconds / len(unit), "device": self._device}
            (unfinished / TOOK).write_text(json.dumps(took), encoding="utf-8")
        if (drawn := _checksums(folder, names)) is None:
            raise RuntimeError(
                f"Asked for {', '.join(names)} in {folder}, which were drawn this moment. Found others. Look after the "
                "disk, and whether two programs write there, then run again."
            )
        return drawn

    def _measure(self, request: DrawRequest, picture: Path, sha256: str) -> StoredPicture:
        cached = self._features / features_file(picture, sha256)
        measurements = _read_measurements(cached)
        if measurements is None:
            start = time.perf_counter()
            measurements = self._scorers.measure(open_picture(picture))
            with atomic_path(cached) as temporary:
                np.savez(temporary, **vars(measurements), **{SECONDS: time.perf_counter() - start})
        return StoredPicture(request, picture, sha256, measurements)


def _file(request: DrawRequest) -> str:
    return f"a{request.attempt:02d}.png"


def features_file(picture: Path, sha256: str) -> str:
    """Name of what is measured in a stored picture."""
    return f"{picture.parent.name}-{picture.stem}-{sha256[:12]}.npz"


def _checksums(folder: Path, names: Sequence[str], level: int = logging.WARNING) -> dict[str, str] | None:
    """Checksums of a unit's pictures, or None where any is missing or another than was drawn, which is logged."""
    if not folder.exists():
        return None
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        changed = [name for name in names if sha256_of(folder / name) != sums[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.log(level, "%s is incomplete (%r): it is drawn again", folder, error)
        return None
    if changed:
        logger.log(level, "%s is damaged: it is drawn again", folder / changed[0])
        return None
    return sums


def _read_measurements(path: Path) -> Measurements | None:
    """What was measured before, or None where nothing is stored; a broken file is measured again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            scalars = {"faces": int, "distortion": float, "aesthetic": float}
            names = [name for name in file.files if name != SECONDS]
            return Measurements(**{name: scalars.get(name, np.asarray)(file[name]) for name in names})
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy lets through whatever its parts raise, by where a file is cut
        logger.warning("%s is damaged (%s): it is measured again", path, error)
        return None
