"""The manifest of all candidates, and the pictures that it keeps."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmunlearn.records import Candidate, RecordError, atomic_path, read_manifest, sha256_of, write_manifest
from mmunlearn.synthesis.policy import Draw, best

logger = logging.getLogger(__name__)


def merge_manifest(shards: Iterable[Path], output: Path, *, images: Path) -> None:
    """Join the shards, publish the kept picture of every cell as `images/<image_id>.png`, write the manifest.

    The accepted candidate of a cell is kept; where none passed, the best one is, and stays not accepted.
    Pictures in `images` that no cell keeps are removed.

    Raises:
        RecordError: a picture is gone or has changed since it was judged; it and its shard are removed, so that
            the next run draws and judges it again.
    """
    rows = [row for shard in shards for row in _publish(shard, images)]
    kept = {row.image_id for row in rows}
    for stale in set(images.glob("*.png")) - {images / f"{image_id}.png" for image_id in kept}:
        stale.unlink()
    write_manifest(output, rows)
    logger.info("%d cells, %d candidates", len(kept), len(rows))


def _publish(shard: Path, images: Path) -> list[Candidate]:
    """The rows of a shard, those of kept pictures with their published path."""
    rows = read_manifest(shard)
    kept = {row.image_id: row for row in kept_candidates(rows)}
    published = []
    for row in rows:
        if kept[row.image_id] is row:
            target = images / f"{row.image_id}.png"
            if not _copied(row, target):
                Path(row.path).unlink(missing_ok=True)
                shard.unlink()
                raise RecordError(
                    f"{row.path} is gone or has changed since it was judged: run again to redraw it"
                )
            row = row.model_copy(update={"path": target.as_posix()})
        published.append(row)
    return published


def _copied(row: Candidate, target: Path) -> bool:
    if target.exists() and sha256_of(target) == row.sha256:
        return True
    if not Path(row.path).exists() or sha256_of(row.path) != row.sha256:
        return False
    with atomic_path(target) as temporary:
        shutil.copyfile(row.path, temporary)
    return True


def kept_candidates(rows: Sequence[Candidate]) -> list[Candidate]:
    """One row a cell: the one that the policy likes best; the accepted one where there is one."""
    cells: dict[str, list[Draw[Candidate]]] = {}
    for row in rows:
        failed = row.reject_reason.split(", ") if row.reject_reason else []
        cells.setdefault(row.image_id, []).append(Draw(row, row.attempt, failed, row.aesthetic or 0.0))
    return [best(draws).item for draws in cells.values()]
