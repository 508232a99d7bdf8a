"""What stands for a base model and its features, where results depend on them: no hundreds of GB are read for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmunlearn.digests import STORE, checksums
from mmunlearn.models.loading import ModelSpec
from mmunlearn.models.picture_list import PictureList
from mmunlearn.provenance import checkpoint_files
from mmunlearn.records import digest_of


def base_identity(spec: ModelSpec, work: Path) -> list[str]:
    """Checksums of a base's files, wherever they lie, each computed once for all runs and kept below `work`; name and
    revision of a base in the cache of the model hub."""
    if not Path(spec.source).is_dir():
        return [f"{spec.source}@{spec.revision}"]
    files = {Path(path).name: Path(path) for path in checkpoint_files(spec.source)}
    return [f"{name} {checksum}" for name, checksum in checksums(files, work / STORE).items()]


def stamps(files: Iterable[Path]) -> list[list[Any]]:
    """What stands for files of features: their name, size and time of change, as our own jobs have written them and one
    that is written anew is another. For lists of pictures stand the checksums of these."""
    return [
        [path.name, status.st_size, status.st_mtime_ns]
        if path.suffix == ".safetensors"
        else [path.name, digest_of(PictureList(path).checksums)]
        for path, status in ((Path(path), Path(path).stat()) for path in files)
    ]
