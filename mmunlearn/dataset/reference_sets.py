"""The Real and World sets, and the general pictures replayed in finetuning."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.backends import REFERENCE_SETS
from mmunlearn.escape import guard
from mmunlearn.progress import progress
from mmunlearn.records import SuiteQuestion, atomic_path, sha256_of, write_jsonl, write_text

logger = logging.getLogger(__name__)


def build_reference_set(
    output: Path,
    events: Path,
    *,
    name: str,
    source: str,
    options: Mapping[str, Any],
    device: str,
    n: int,
    seed: int,
    questions: Mapping[str, str],
    answers: Mapping[str, str],
    size: int,
    work: Path,
) -> None:
    """Write one of the sets `real`, `world`, `replay`: pictures beside the file, in a folder of its name.

    Args:
        source: the backend; it gets `options` with the device, and what `ReferenceSets` names besides.
        device: auto, cuda or cpu.
        n, seed: what the set is asked for.
    Raises:
        ValueError: the backend gave a question without its picture.
    """
    sets = REFERENCE_SETS.load(source)(
        {**options, "device": device},
        questions=questions,
        answers=answers,
        size=size,
        events=events,
        work=work,
    )
    pictures, rows = getattr(sets, name)(n, seed)
    _check(pictures, rows)
    folder = output.with_suffix("")
    written = {
        image_id: _write_picture(folder, image_id, pictures[image_id])
        for image_id in progress(pictures, f"{name} pictures", unit="picture")
    }
    tables = [_write_table(folder / file, table) for file, table in getattr(pictures, "tables", {}).items()]
    current = {path for path, _ in written.values()} | set(tables)
    for stale in {*folder.glob("*.png"), *folder.glob("*.csv")} - current:
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
    writer.writerows({name: guard(str(value)) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
    return path


def _located(path: Path, sha256: str) -> dict[str, str]:
    return {"path": path.as_posix(), "sha256": sha256}


def _check(pictures: Mapping[str, Image.Image], rows: Sequence[SuiteQuestion]) -> None:
    missing = sorted({row.image_id for row in rows} - set(pictures))
    if missing:
        raise ValueError(f"{len(missing)} pictures have questions but do not exist, e.g. {missing[0]}")
