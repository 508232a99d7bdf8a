"""A copy of the workflow in which every declared file of the repository exists, and dry runs of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.copies import copy_workflow


@pytest.fixture(scope="session")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("workflow") / "copy")


@pytest.fixture(scope="session")
def snakemake(workflow: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run Snakemake in the copy; nothing of the surrounding environment decides the configuration."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=workflow, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def planned(snakemake: Callable[..., subprocess.CompletedProcess]) -> Callable[..., dict[str, int]]:
    """Jobs by rule of a dry run."""

    def count(*arguments: str) -> dict[str, int]:
        done = snakemake("-n", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return {rule: int(jobs) for rule, jobs in table}

    return count
