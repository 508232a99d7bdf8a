"""Plans of the shipped workflow in an empty folder, in this process; and a copy of it for what needs its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.copies import ROOT, copy_workflow
from tests.rules.standin import Rules


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Counter]:
    """Jobs by rule that would run for some targets with some overlays; each plan is made once."""
    folder = tmp_path_factory.mktemp("planned")
    for name in ("config.yaml", "presets", "resources"):
        (folder / name).symlink_to(ROOT / name)

    @cache
    def count(*targets: str, overlays: tuple[str, ...] = ()) -> Counter:
        return Counter(name for name, _ in Rules.needed(folder, targets, overlays))

    return count


@pytest.fixture(scope="session")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("workflow") / "copy")


@pytest.fixture(scope="session")
def snakemake(workflow: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run Snakemake in the copy; nothing of the surrounding environment decides the configuration."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=workflow, env=inherited | environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run
