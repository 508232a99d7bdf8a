"""What Snakemake writes of a job's time and memory."""

from __future__ import annotations

import csv
from pathlib import Path
from re import fullmatch


def read_benchmark(path: Path | None) -> tuple[float, float] | None:
    """Wall seconds and resident megabytes of a benchmark file (tab separated; columns `s`, `max_rss`), the mean and the
    largest of its rows where a job was repeated; None where there is no file, or none that says the seconds."""
    try:
        with open(path or "", encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except OSError:
        return None
    seconds, memory = (
        [float(row[key]) for row in rows if fullmatch(r"[0-9.]+", row.get(key) or "")]
        for key in ("s", "max_rss")
    )  # `-` and `NA`: not taken
    return (sum(seconds) / len(seconds), max(memory, default=0.0)) if seconds else None
