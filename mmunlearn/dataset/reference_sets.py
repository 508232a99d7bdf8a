"""The Real and World sets, and the general pictures replayed in finetuning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from mmunlearn.backends import backend
from mmunlearn.records import SuiteQuestion, atomic_path, sha256_of, write_jsonl

logger = logging.getLogger(__name__)


class ReferenceSets(Protocol):
    """Supplies pictures and questions that are not about the benchmark's people and events."""

    def real(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n pictures a target of known people and known events: pictures by image id, and questions."""
        ...

    def world(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n pictures with POPE questions (random, popular, adversarial)."""
        ...

    def replay(self, n: int, seed: int) -> tuple[Mapping[str, Image.Image], list[SuiteQuestion]]:
        """n general pictures for training; none of them is in `real` or `world`."""
        ...


def build_reference_set(
    output: Path, *, name: str, source: str, n: int, seed: int, questions: Mapping[str, str], size: int
) -> None:
    """Write one of the sets `real`, `world`, `replay`: pictures beside the file, in a folder of its name.

    Raises:
        ValueError: the backend gave a question without its picture.
    """
    sets: ReferenceSets = backend("reference_sets", source)(questions, size)
    pictures, rows = getattr(sets, name)(n, seed)
    _check(pictures, rows)
    folder = output.with_suffix("")
    written = {image_id: _write_picture(folder, image_id, image) for image_id, image in pictures.items()}
    for stale in set(folder.glob("*.png")) - {path for path, _ in written.values()}:
        stale.unlink()
    write_jsonl(output, [row.model_copy(update=_located(*written[row.image_id])) for row in rows])
    logger.info("%s: %d questions on %d pictures", name, len(rows), len(pictures))


def _write_picture(folder: Path, image_id: str, image: Image.Image) -> tuple[Path, str]:
    path = folder / f"{image_id}.png"
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
    return path, sha256_of(path)


def _located(path: Path, sha256: str) -> dict[str, str]:
    return {"path": path.as_posix(), "sha256": sha256}


def _check(pictures: Mapping[str, Image.Image], rows: Sequence[SuiteQuestion]) -> None:
    missing = sorted({row.image_id for row in rows} - set(pictures))
    if missing:
        raise ValueError(f"{len(missing)} pictures have questions but do not exist, e.g. {missing[0]}")
