"""Real pocket runs: the default one of this folder, and a small one of its own that is killed on its way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from tests.copies import ROOT, copy_workflow


class Run:
    """Snakemake in a folder, with an overlay or without."""

    def __init__(self, folder: Path, overlay: dict | None = None) -> None:
        self.folder, self.overlay = folder, overlay
        self.configure()

    def configure(self, **changes: dict) -> None:
        """Write the overlay, changed."""
        if self.overlay is not None:
            (self.folder / "overlay.yaml").write_text(yaml.safe_dump(self.overlay | changes))

    @property
    def results(self) -> Path:
        scale = "pocket" if self.overlay is None else self.overlay["scale"]
        return self.folder / "results" / scale

    def start(self, *arguments: str) -> subprocess.Popen:
        """Snakemake in a process group of its own, its output in logs/tests.log."""
        overlay = [] if self.overlay is None else ["--configfile", "overlay.yaml"]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        (self.folder / "logs").mkdir(exist_ok=True)
        with (self.folder / "logs" / "tests.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *overlay],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        """Run to the end; gives what Snakemake printed."""
        code = self.start(*arguments).wait(timeout=3000)
        text = (self.folder / "logs" / "tests.log").read_text()
        assert code == 0, text[-6000:]
        return text

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule of a dry run."""
        return {
            rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", self("-n", *arguments), re.MULTILINE)
        }

    def kill_when(self, ready: Callable[[], bool], *arguments: str) -> None:
        """Start, wait until `ready`, and kill the whole process group without a chance to clean up."""
        process = self.start(*arguments)
        deadline = time.monotonic() + 300
        while not ready():
            text = (self.folder / "logs" / "tests.log").read_text()
            assert process.poll() is None, f"it ended before it could be killed: {text[-3000:]}"
            assert time.monotonic() < deadline, text[-3000:]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self("--unlock")


@pytest.fixture(scope="session")
def pocket() -> Run:
    """The default run of this folder, made or completed first where it is not there."""
    run = Run(ROOT)
    (ROOT / "results").mkdir(exist_ok=True)
    with FileLock(ROOT / "results" / ".tests.lock"):
        run()
    return run


def copy_run(run: Run, folder: Path) -> Run:
    """A run and its results in another folder, times of change included: nothing is to be done there."""
    copy_workflow(folder)
    subprocess.run(
        ["cp", "-r", "--preserve=timestamps", run.folder / "results", run.folder / "work", run.folder / ".snakemake",
         folder], check=True,
    )  # fmt: skip
    return Run(folder, run.overlay)
