"""A disk that is full with all that a run writes, Snakemake's own files too, and has room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmunlearn.records import sha256_of
from tests.copies import copy_workflow
from tests.small import SMALL, Run

pytestmark = pytest.mark.pocket
MANIFEST = "images/manifest.parquet"
ROOM = 500
"""KiB that are free when the run begins: it draws more."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may mount no small disk: {error}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def resize(disk: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", disk], check=True)


def test_a_disk_that_was_full_for_a_while(small, disk):
    run = Run(copy_workflow(disk / "run"), SMALL)
    run.planned("draw")  # Python keeps what it has compiled beside the copy
    used = int(subprocess.check_output(["du", "-sk", disk], text=True).split()[0])
    resize(disk, used + ROOM)
    text = run.fails("draw")
    assert "Asked for room for work/draws/" in text and "Free some, then run the same command again" in text
    resize(disk, 2**16)
    run("draw")
    assert sha256_of(run.results / MANIFEST) == sha256_of(small.results / MANIFEST)
