"""A copy of the workflow in a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "Snakefile",
    "config.yaml",
    "presets",
    "profiles",
    "rules",
    "workflow_scripts",
    "mmunlearn",
    "envs",
    "report",
    "resources",
)


def copy_workflow(folder: Path) -> Path:
    """Copy everything that a run needs, without anything that a run has made."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder
