"""A copy of the workflow in which every declared file of the repository exists, and dry runs of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "Snakefile",
    "config.yaml",
    "presets",
    "profiles",
    "rules",
    "workflow_scripts",
    "mmunlearn",
    "envs",
    "resources",
)


@pytest.fixture(scope="session")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workflow")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


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
