"""Tasks that are drawn rather than collected, written in the released format (`released.py`)."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.atomic import atomic_path
from mmunlearn.backends import TASK_SETS
from mmunlearn.progress import progress
from mmunlearn.provenance import versions
from mmunlearn.records import digest_of, sha256_of, write_json, write_text

logger = logging.getLogger(__name__)
UNFINISHED = "unfinished"
"""File that says, while a folder is being filled, by what settings."""


class TaskSet(ABC):
    """Draws the tasks, and entities that none of them names."""

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], *, tasks: Sequence[str], size: int, seed: int) -> None:
        """`options`: the backend's own keys (`lifelong.<backend>`); `tasks`: names; `size`: side in pixels."""

    @classmethod
    @abstractmethod
    def entities(cls, options: Mapping[str, Any], tasks: Sequence[str]) -> Mapping[tuple[str, str], int]:
        """(task, role) -> entities, for the plan; of untouched ones the task is empty. Each has `pictures` of them."""

    @abstractmethod
    def files(self) -> Mapping[str, Callable[[], bytes]]:
        """Path below the released folder -> what makes the file; equal settings make equal bytes."""


def draw_tasks(
    output: Path, *, backend: str, options: Mapping[str, Any], tasks: Sequence[str], size: int, seed: int
) -> None:
    """Write the released folder of a backend: Tasks/, Entities/ and the pictures, then the manifest.

    A job that was killed goes on with the files that it has left; any other draws all anew.

    Args:
        output: manifest.json, path -> SHA-256, in that folder.
        backend: of `backends.TASK_SETS`.
        options, tasks, size, seed: as of `TaskSet`.
    Raises:
        RecordError: as of the backend.
    """
    files = TASK_SETS.load(backend)(options, tasks=tasks, size=size, seed=seed).files()
    folder, digest = output.parent, digest_of([backend, options, tasks, size, seed, versions()])
    mark = folder / UNFINISHED
    if not mark.is_file() or mark.read_text("utf-8") != digest:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(mark, digest)
    for name, make in progress(files.items(), "tasks", unit="file"):
        if not (folder / name).exists():
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(make())
    write_json(output, {name: sha256_of(folder / name) for name in sorted(files)})
    mark.unlink()
    logger.info("%d files", len(files))
