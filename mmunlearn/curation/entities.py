"""The names of MLUBench's entities, as checksums: real people and works, which are none of the benchmark's people."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import combinations
from pathlib import Path

from mmunlearn.files import read_text
from mmunlearn.text import fold

PATH = Path(__file__).resolve().parents[2] / "resources" / "mlubench_entities.sha256"


def entities() -> frozenset[str]:
    """SHA-256 of the folded names of the 127 entities."""
    return _read(PATH)


def entity_in(name: str) -> str | None:
    """The run of a name's words, folded, that is an entity, if any."""
    words = fold(name).split()
    runs = (" ".join(words[first:last]) for first, last in combinations(range(len(words) + 1), 2))
    return next((run for run in runs if hashlib.sha256(run.encode()).hexdigest() in entities()), None)


@cache
def _read(path: Path) -> frozenset[str]:
    return frozenset(line for line in read_text(path).splitlines() if line and not line.startswith("#"))
