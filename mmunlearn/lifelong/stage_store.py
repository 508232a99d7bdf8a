"""Finished stages below `work/lifelong/`: whole or not at all, found again by all that shapes them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmunlearn.atomic import atomic_path, scratch_folder
from mmunlearn.records import sha256_of, write_json
from mmunlearn.training.adapters import link_adapter

ADAPTER = "adapter"
RECORD = "checksums.json"
"""In a stage's folder: name of a file -> its SHA-256."""
logger = logging.getLogger(__name__)


def is_whole(folder: Path) -> bool:
    """Whether a stage is there, with the very files that were written. Any other goes."""
    if not folder.exists():
        return False
    if _is_sound(folder):
        return True
    with scratch_folder(folder) as away:
        with suppress(FileNotFoundError):  # another job has seen the same
            folder.rename(away / folder.name)
        if _is_sound(away / folder.name):  # another job has made it again meanwhile
            with suppress(OSError):  # and a third one since
                (away / folder.name).rename(folder)
            return True
    logger.warning("%s is not the stage that was written: it is made again", folder)
    return False


def _is_sound(folder: Path) -> bool:
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return bool(files) and all(sha256_of(folder / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def new_stage(folder: Path, apart: str) -> Iterator[Path]:
    """Yield the folder to make a stage in; it becomes `folder` when the block ends without an error.

    Args:
        apart: names this job's folder, as others may make the same stage at one time; who is first gives it its place.
            What a killed job has left there goes.
    """
    making = folder.with_name(f"{folder.name}-{apart}")
    shutil.rmtree(making, ignore_errors=True)
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
    """Give a stage to a sequence, or to the store: its adapter without a second copy, where the file system can."""
    link_adapter(folder / ADAPTER, output / ADAPTER)
    for name in ("steps.jsonl", "training.json"):
        with atomic_path(output / name) as temporary:
            shutil.copyfile(folder / name, temporary)
