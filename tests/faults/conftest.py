"""What the small run is when nothing disturbs it, and what disturbs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from mmunlearn.atomic import LEFT
from tests.small import STARTED, Run, small_run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """What a failed test has started ends with it."""
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def scripts(run: subprocess.Popen, name: str) -> list[psutil.Process]:
    """The processes that run a script of workflow_scripts/."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(run.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if any(part.endswith(f".{name}.py") for part in child.cmdline()[1:2]):
                    found.append(child)
    return found


def unfinished(run: Run) -> list[str]:
    """Temporary files and folders that a writer has left."""
    return [
        path.relative_to(run.folder).as_posix()
        for home in (run.folder / "results", run.folder / "work")
        for path in home.rglob(".*")
        if LEFT.fullmatch(path.name)
    ]
