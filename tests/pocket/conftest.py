"""Real pocket runs in temporary folders: the default one, and a small one that tests may break and rerun."""

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

from tests.copies import copy_workflow

SMALL = {
    "scale": "small",
    "curation": {"n_people": 10, "n_events": 10},
    "images": {"people_per_shard": 5, "references_per_event": 3, "min_accepted_share": 0.9},
    "dataset": {"percents": [10], "n_real": 8, "n_world": 8, "n_replay": 8},
    "training": {"finetune": {"epochs": 3}, "save_steps": 5},
    "methods": {name: {"max_steps": 8} for name in ("po", "ga", "gd", "kl", "dpo")},
    "ceiling_seed": None,
}


class Run:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path, overlay: dict | None = None) -> None:
        self.folder = copy_workflow(folder)
        self.overlay = overlay
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
        """Snakemake in a process group of its own, its output in run.log."""
        overlay = [] if self.overlay is None else ["--configfile", "overlay.yaml"]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *overlay],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        """Run to the end; gives what Snakemake said."""
        code = self.start(*arguments).wait(timeout=3000)
        said = (self.folder / "run.log").read_text()
        assert code == 0, said[-6000:]
        return said

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
            said = (self.folder / "run.log").read_text()
            assert process.poll() is None, f"it ended before it could be killed: {said[-3000:]}"
            assert time.monotonic() < deadline, said[-3000:]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self("--unlock")


@pytest.fixture(scope="session")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The default run, once, to the end."""
    run = Run(tmp_path_factory.mktemp("pocket") / "run")
    run()
    return run


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run to the end: all phases, all methods, little of everything."""
    run = Run(tmp_path_factory.mktemp("small") / "run", SMALL)
    run()
    return run
