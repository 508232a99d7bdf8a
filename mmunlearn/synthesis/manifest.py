"""The manifest of all candidates, and the pictures that it keeps."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from mmunlearn.records import Candidate, RecordError, atomic_path, read_manifest, sha256_of, write_manifest
from mmunlearn.synthesis.cells import reasons
from mmunlearn.synthesis.policy import AWAITING, Draw, best
from mmunlearn.verdicts import confirmed, read_verdicts

logger = logging.getLogger(__name__)


def merge_manifest(
    settled: Path,
    shards: Sequence[Path],
    verdicts: Sequence[Path],
    output: Path,
    *,
    images: Path,
    reviewers: int,
) -> None:
    """Publish the kept picture of every cell as `images/<image_id>.png`, and write the manifest.

    The accepted candidate of a cell is kept; where none passed, the best one is, and stays not accepted. With
    reviewers, an accepted picture that too few of them have confirmed is kept as `awaiting review`. Pictures in
    `images` that no cell keeps are removed.

    Args:
        settled: all candidates with their last verdict.
        shards: where the candidates come from.
        reviewers: how many people must confirm a picture.

    Raises:
        RecordError: a picture is gone or has changed since it was judged; it is removed together with the tables
            that tell of it, so that the next run draws and judges it again.
    """
    rows = read_manifest(settled)
    kept = {row.image_id: row for row in kept_candidates(rows)}
    known = confirmed(read_verdicts(verdicts), "picture", reviewers) if reviewers else None
    lost = [row for row in kept.values() if not _copied(row, images / f"{row.image_id}.png")]
    if lost:
        _forget(lost, settled, shards)
    for stale in set(images.glob("*.png")) - {images / f"{image_id}.png" for image_id in kept}:
        stale.unlink()
    write_manifest(output, [_published(row, kept[row.image_id] is row, known, images) for row in rows])
    logger.info("%d cells, %d candidates", len(kept), len(rows))


def kept_candidates(rows: Sequence[Candidate]) -> list[Candidate]:
    """One row a cell: the accepted one, or the one that the policy likes best."""
    cells: dict[str, list[Candidate]] = {}
    for row in rows:
        cells.setdefault(row.image_id, []).append(row)
    return [
        next((row for row in own if row.accepted), None)
        or best([Draw(row, row.attempt, reasons(row), row.aesthetic or 0.0) for row in own]).item
        for own in cells.values()
    ]


def _published(row: Candidate, kept: bool, known: Collection[str] | None, images: Path) -> Candidate:
    changes: dict[str, object] = {"path": (images / f"{row.image_id}.png").as_posix()} if kept else {}
    if row.accepted and known is not None and row.sha256 not in known:
        changes |= {"accepted": False, "reject_reason": AWAITING}
    return row.model_copy(update=changes)


def _copied(row: Candidate, target: Path) -> bool:
    if target.exists() and sha256_of(target) == row.sha256:
        return True
    if not Path(row.path).exists() or sha256_of(row.path) != row.sha256:
        return False
    with atomic_path(target) as temporary:
        shutil.copyfile(row.path, temporary)
    return True


def _forget(lost: Sequence[Candidate], settled: Path, shards: Sequence[Path]) -> None:
    """Remove changed pictures and every table that tells of them, and say so."""
    for row in lost:
        Path(row.path).unlink(missing_ok=True)
    gone = {row.image_id for row in lost}
    for shard in shards:
        if any(one.image_id in gone for one in read_manifest(shard)):
            shard.unlink()
    settled.unlink()
    others = f", and so are {len(lost) - 1} more" if len(lost) > 1 else ""
    raise RecordError(
        f"{lost[0].path} is gone or has changed since it was judged{others}: run again to redraw what is missing"
    )
