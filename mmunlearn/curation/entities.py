"""The names of MLUBench's entities, as checksums: real people and works, which are none of the benchmark's people."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mmunlearn.files import read_text

PATH = Path(__file__).resolve().parents[2] / "resources" / "mlubench_entities.sha256"


def entities() -> frozenset[str]:
    """SHA-256 of the folded names of the 127 entities."""
    return _read(PATH)


@cache
def _read(path: Path) -> frozenset[str]:
    return frozenset(line for line in read_text(path).splitlines() if line and not line.startswith("#"))
