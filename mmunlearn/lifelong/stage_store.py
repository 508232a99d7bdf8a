"""Finished stages below `work/lifelong/`: whole or not at all, found again by all that shapes them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmunlearn.atomic import atomic_path
from mmunlearn.records import sha256_of, write_json
from mmunlearn.training.adapters import link_adapter

ADAPTER = "adapter"
RECORD = "checksums.json"
"""In a stage's folder: name of a file -> its SHA-256."""
logger = logging.getLogger(__name__)


def is_whole(folder: Path) -> bool:
    """Whether a stage is there, with the very files that were written."""
    if not folder.exists():
        return False
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if files and all(sha256_of(folder / name) == sha256 for name, sha256 in files.items()):
            return True
    except (OSError, ValueError, AttributeError):
        pass
    logger.warning("%s is not the stage that was written: it is made again", folder)
    return False


@contextmanager
def new_stage(folder: Path, apart: str) -> Iterator[Path]:
    """Yield the folder to make a stage in; it becomes `folder` when the block ends without an error.

    Args:
        apart: names this job's folder, as others may make the same stage at one time; who is first gives it its place.
            What a killed job has left there goes; its checkpoint lies elsewhere.
    """
    making = folder.with_name(f"{folder.name}-{apart}")
    for left in (folder, making):  # the one is damaged, the other unfinished
        shutil.rmtree(left, ignore_errors=True)
    making.mkdir(parents=True)
    yield making
    names = [path.relative_to(making).as_posix() for path in making.rglob("*") if path.is_file()]
    write_json(making / RECORD, {name: sha256_of(making / name) for name in sorted(names)})
    try:
        making.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(making)


def link_stage(folder: Path, output: Path) -> None:
    """Give a stage to a sequence: its adapter without a second copy, where the file system can."""
    link_adapter(folder / ADAPTER, output / ADAPTER)
    for name in ("steps.jsonl", "training.json"):
        with atomic_path(output / name) as temporary:
            shutil.copyfile(folder / name, temporary)
