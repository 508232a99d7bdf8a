"""What stands for a base model and its features, where results depend on them: no hundreds of GB are read for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmunlearn.digests import STORE, checksums
from mmunlearn.models.loading import ModelSpec
from mmunlearn.provenance import checkpoint_files


def base_identity(spec: ModelSpec, work: Path) -> list[str]:
    """Checksums of a base's files, wherever they lie, each computed once for all runs and kept below `work`; name and
    revision of a base in the cache of the model hub."""
    if not Path(spec.source).is_dir():
        return [f"{spec.source}@{spec.revision}"]
    files = {Path(path).name: Path(path) for path in checkpoint_files(spec.source)}
    return [f"{name} {checksum}" for name, checksum in checksums(files, work / STORE).items()]


def stamps(files: Iterable[Path]) -> list[list[str | int]]:
    """Name, size and time of change of files that our own jobs have written: one that is written anew is another."""
    statuses = [(Path(path), Path(path).stat()) for path in files]
    return [[path.name, status.st_size, status.st_mtime_ns] for path, status in statuses]
