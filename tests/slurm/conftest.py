"""One Slurm for all tests of a process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Brought up in a folder with a short name, as a socket's path must be."""
    one = Cluster(Path(tempfile.mkdtemp(prefix="mmunlearn-slurm-")))
    if reason := one.missing():
        one.folder.rmdir()
        pytest.skip(reason)
    try:
        one.up()
        yield one
    finally:
        one.down()
        shutil.rmtree(one.folder)
