"""The manifest of all candidates, and the pictures that are published of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from mmunlearn.records import Candidate, RecordError, atomic_path, read_manifest, sha256_of, write_manifest
from mmunlearn.synthesis.candidates import reasons
from mmunlearn.synthesis.policy import AWAITING, rank
from mmunlearn.verdicts import confirmed, read_verdicts

logger = logging.getLogger(__name__)


def merge_manifest(
    output: Path, *, settled: Path, shards: Sequence[Path], verdicts: Sequence[Path], reviewers: int
) -> None:
    """Publish one picture of every cell as `<image_id>.png` beside the manifest, and write the manifest.

    It is the accepted candidate; where none passed, it is the best one, and stays not accepted. With reviewers, an
    accepted picture that too few of them have confirmed becomes `awaiting review`. Pictures of other cells are removed.

    Args:
        settled: all candidates with their last verdict.
        shards: where the candidates come from.
        verdicts: CSV files of the reviewers.
        reviewers: how many people must confirm a picture.

    Raises:
        RecordError: a picture is gone or has changed since it was judged; it is removed together with the tables
            that tell of it, so that the next run draws and judges it again.
    """
    images, rows = output.parent, read_manifest(settled)
    winners = {row.image_id: row for row in winners_of(rows)}
    known = confirmed(read_verdicts(verdicts), "picture", reviewers) if reviewers else None
    lost = [row for row in winners.values() if not _copied(row, images / f"{row.image_id}.png")]
    if lost:
        _forget(lost, settled, shards)
    for stale in set(images.glob("*.png")) - {images / f"{image_id}.png" for image_id in winners}:
        stale.unlink()
    write_manifest(output, [_published(row, winners[row.image_id] is row, known, images) for row in rows])
    logger.info("%d cells, %d candidates", len(winners), len(rows))


def winners_of(rows: Sequence[Candidate]) -> list[Candidate]:
    """One row a cell: the accepted one, or the one that the policy likes best."""
    cells: dict[str, list[Candidate]] = {}
    for row in rows:
        cells.setdefault(row.image_id, []).append(row)
    return [min(cell, key=lambda row: (not row.accepted, rank(row, reasons(row)))) for cell in cells.values()]


def _published(row: Candidate, wins: bool, known: Collection[str] | None, images: Path) -> Candidate:
    changes: dict[str, object] = {"path": (images / f"{row.image_id}.png").as_posix()} if wins else {}
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
    cells = {row.image_id for row in lost}
    for shard in shards:
        if any(row.image_id in cells for row in read_manifest(shard)):
            shard.unlink()
    settled.unlink()
    others = f", and so are {len(lost) - 1} more" if len(lost) > 1 else ""
    raise RecordError(
        f"{lost[0].path} is gone or has changed since it was judged{others}: run again to redraw what is missing"
    )
