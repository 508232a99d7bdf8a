"""Two runs at once: in one folder of results, and of two scales that share work/."""

from __future__ import annotations

import pytest

from mmunlearn.records import read_manifest
from tests.copies import copy_workflow
from tests.small import SMALL, Run

pytestmark = pytest.mark.pocket


def pictures(run: Run) -> list[str]:
    """Their checksums."""
    return [row.sha256 for row in read_manifest(run.results / "images" / "manifest.parquet")]


def test_two_scales_that_share_work(small, tmp_path):
    """They start at one moment and draw the same pictures. A second run of one of them is refused."""
    folder = copy_workflow(tmp_path / "run")
    runs = [Run(folder, SMALL | {"scale": scale}, ("--cores", "1")) for scale in ("small", "twin")]
    processes = [run.start("draw") for run in runs]

    locks = folder / ".snakemake" / "locks"
    runs[0].wait_until(lambda: len(list(locks.glob("*output*"))) == 2, processes[0])
    text = Run(folder, SMALL).fails("draw")
    assert "LockException" in text and "--unlock" in text

    for run, process in zip(runs, processes, strict=True):
        run.end(process)
        assert pictures(run) == pictures(small)
