"""Real runs in folders of their own, and the small one: all phases, little of everything."""

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

from mmunlearn.records import sha256_of
from tests.copies import ROOT, copy_workflow
from tests.shared import shared

SMALL = {
    "scale": "small",
    "curation": {"n_people": 10, "n_events": 10},
    "images": {"people_per_shard": 5, "references_per_event": 3, "min_accepted_share": 0.9},
    "dataset": {"percents": [10], "n_real": 8, "n_world": 8, "n_replay": 8},
    "training": {"finetune": {"epochs": 3}, "save_steps": 5},
    "methods": {"po": {"max_steps": 8}, "ga": {"max_steps": 8}} | dict.fromkeys(("gd", "kl", "dpo")),
    "figures": {"concept_method": "ga"},
    "ceiling_seed": None,
}

STARTED: list[subprocess.Popen] = []
"""Every Snakemake that a test has started."""


class Run:
    """Snakemake in a folder, with an overlay or without; `options` come first on its command line."""

    log: Path

    def __init__(
        self, folder: Path, overlay: dict | None = None, options: tuple[str, ...] = ("--cores", "2")
    ) -> None:
        self.folder, self.overlay, self.options = folder, overlay, options
        self.configure()

    def configure(self, **changes: dict) -> None:
        """Write the overlay, changed."""
        if self.overlay is not None:
            (self.folder / self.overlay_file).write_text(yaml.safe_dump(self.overlay | changes))

    @property
    def scale(self) -> str:
        return "pocket" if self.overlay is None else self.overlay["scale"]

    @property
    def overlay_file(self) -> str:
        return f"{self.scale}.yaml"

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.scale

    def start(self, *arguments: str) -> subprocess.Popen:
        """Snakemake in a process group of its own; `log` is what it prints."""
        overlay = [] if self.overlay is None else ["--configfile", self.overlay_file]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        self.log = self.folder / "logs" / f"tests.{time.monotonic_ns()}.log"
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *self.options, *arguments, *overlay],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        STARTED.append(process)
        return process

    def end(self, process: subprocess.Popen, code: int = 0) -> str:
        """Wait for what `start` gave; gives what it printed."""
        status = process.wait(timeout=3000)
        text = self.log.read_text()
        assert status == code, text[-6000:]
        return text

    def __call__(self, *arguments: str) -> str:
        """Run to the end; gives what Snakemake printed."""
        return self.end(self.start(*arguments))

    def fails(self, *arguments: str) -> str:
        """Run to an error; gives what Snakemake printed."""
        return self.end(self.start(*arguments), code=1)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule of a dry run."""
        return {
            rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", self("-n", *arguments), re.MULTILINE)
        }

    def wait_until(self, ready: Callable[[], bool], process: subprocess.Popen, seconds: float = 900) -> None:
        """Wait while `process` runs, until `ready`."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert process.poll() is None, (
                f"it ended before it could be disturbed: {self.log.read_text()[-3000:]}"
            )
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)

    def kill_when(self, ready: Callable[[], bool], *arguments: str) -> None:
        """Start, wait until `ready`, and kill the whole process group without a chance to clean up."""
        process = self.start(*arguments)
        self.wait_until(ready, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self("--unlock")


def copy_run(run: Run, folder: Path) -> Run:
    """A run and its results in another folder, times of change included: nothing is to be done there."""
    copy_workflow(folder)
    subprocess.run(
        ["cp", "-r", "--preserve=timestamps", run.folder / "results", run.folder / "work", run.folder / ".snakemake",
         folder], check=True,
    )  # fmt: skip
    return Run(folder, run.overlay, run.options)


def outputs(run: Run) -> dict[str, str]:
    """Checksums of the manifest, the answers, the tables and every adapter."""
    files = [run.results / "images" / "manifest.parquet", *(run.results / "tables").iterdir()]
    files += (run.results / "answers").rglob("*.jsonl")
    files += run.results.rglob("adapter_model.safetensors")
    return {path.relative_to(run.results).as_posix(): sha256_of(path) for path in sorted(files)}


def compared(before: Run, after: Run) -> str:
    """What two runs differ in, but for times; nothing where they left the same bytes."""
    command = [sys.executable, ROOT / ".ci/compare_runs.py", before.results, after.results]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "*.safetensors" in done.stdout
    return done.stdout if done.returncode else ""


def small_run(factory: pytest.TempPathFactory) -> Run:
    """The small run that nothing has disturbed: one for all tests, so read it, or copy it with `copy_run`."""
    return Run(shared(factory, "small", lambda folder: Run(copy_workflow(folder), SMALL)()), SMALL)
