"""The Real and World sets, and the general pictures replayed in finetuning."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from mmunlearn.backends import backend
from mmunlearn.progress import progress
from mmunlearn.records import SuiteQuestion, atomic_path, sha256_of, write_jsonl, write_text

logger = logging.getLogger(__name__)


class ReferenceSets(Protocol):
    """Supplies pictures and questions that are not about the benchmark's people and events.

    Pictures may be opened only when they are asked for; where they have `tables` (file name -> rows), as
    `mmunlearn.dataset.pictures.Pictures` does, those are written beside them as CSV.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        questions: Mapping[str, str],
        answers: Mapping[str, str],
        size: int,
        events: Path,
        work: Path,
    ) -> None:
        """`options`: the backend's own keys (`dataset.<backend>`); `questions`, `answers`: kind -> text, template;
        `size`: longest side in pixels; `events`: the curated events.jsonl; `work`: folder of resumable files."""
        ...

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
    output: Path,
    *,
    name: str,
    source: str,
    options: Mapping[str, Any],
    n: int,
    seed: int,
    questions: Mapping[str, str],
    answers: Mapping[str, str],
    size: int,
    events: Path,
    work: Path,
) -> None:
    """Write one of the sets `real`, `world`, `replay`: pictures beside the file, in a folder of its name.

    Args:
        source: the backend; it gets `options`, `questions`, `answers`, `size`, `events`, `work`.
        n, seed: what the set is asked for.
    Raises:
        ValueError: the backend gave a question without its picture.
    """
    sets: ReferenceSets = backend("reference_sets", source)(
        options, questions=questions, answers=answers, size=size, events=events, work=work
    )
    pictures, rows = getattr(sets, name)(n, seed)
    _check(pictures, rows)
    folder = output.with_suffix("")
    written = {
        image_id: _write_picture(folder, image_id, pictures[image_id])
        for image_id in progress(pictures, f"{name} pictures", unit="picture")
    }
    tables = [_write_table(folder / file, table) for file, table in getattr(pictures, "tables", {}).items()]
    kept = {path for path, _ in written.values()} | set(tables)
    for stale in {*folder.glob("*.png"), *folder.glob("*.csv")} - kept:
        stale.unlink()
    write_jsonl(output, [row.model_copy(update=_located(*written[row.image_id])) for row in rows])
    logger.info("%s: %d questions on %d pictures", name, len(rows), len(pictures))


def _write_picture(folder: Path, image_id: str, image: Image.Image) -> tuple[Path, str]:
    path = folder / f"{image_id}.png"
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
    return path, sha256_of(path)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path


def _located(path: Path, sha256: str) -> dict[str, str]:
    return {"path": path.as_posix(), "sha256": sha256}


def _check(pictures: Mapping[str, Image.Image], rows: Sequence[SuiteQuestion]) -> None:
    missing = sorted({row.image_id for row in rows} - set(pictures))
    if missing:
        raise ValueError(f"{len(missing)} pictures have questions but do not exist, e.g. {missing[0]}")
