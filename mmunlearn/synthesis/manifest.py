"""The manifest of all candidates, and the pictures that it keeps."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmunlearn.records import Candidate, RecordError, atomic_path, read_manifest, sha256_of, write_manifest

logger = logging.getLogger(__name__)


def merge_manifest(shards: Iterable[Path], output: Path, *, images: Path) -> None:
    """Join the shards, publish the kept picture of every cell as `images/<image_id>.png`, write the manifest.

    The accepted candidate of a cell is kept; where none passed, the best one is, and stays not accepted.
    Pictures in `images` that no cell keeps are removed.

    Raises:
        RecordError: a picture of the store does not have the checksum of its row.
    """
    rows = [row for shard in shards for row in read_manifest(shard)]
    kept = {row.image_id: row for row in kept_candidates(rows)}
    published = [
        row.model_copy(update={"path": _publish(row, images)}) if kept[row.image_id] is row else row
        for row in rows
    ]
    for stale in set(images.glob("*.png")) - {images / f"{image_id}.png" for image_id in kept}:
        stale.unlink()
    write_manifest(output, published)
    logger.info("%d cells, %d candidates", len(kept), len(rows))


def kept_candidates(rows: Sequence[Candidate]) -> list[Candidate]:
    """One row a cell: the accepted candidate, or the one with fewest refusals, highest aesthetic, earliest."""
    cells: dict[str, Candidate] = {}
    for row in rows:
        if row.image_id not in cells or _rank(row) < _rank(cells[row.image_id]):
            cells[row.image_id] = row
    return list(cells.values())


def _rank(row: Candidate) -> tuple:
    refusals = 0 if row.accepted else 1 + row.reject_reason.count(",")
    return (not row.accepted, refusals, -(row.aesthetic or 0.0), row.attempt)


def _publish(row: Candidate, images: Path) -> str:
    target = images / f"{row.image_id}.png"
    if not (target.exists() and sha256_of(target) == row.sha256):
        with atomic_path(target) as temporary:
            shutil.copyfile(row.path, temporary)
            if sha256_of(temporary) != row.sha256:
                raise RecordError(f"{row.path} has changed since it was judged: delete it and rerun")
    return target.as_posix()
