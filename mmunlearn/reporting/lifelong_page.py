"""The lifelong benchmark's own page, of runs without PEBench: the report's section of it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmunlearn.records import RecordError, write_text
from mmunlearn.reporting.lifelong_section import lifelong_section
from mmunlearn.reporting.page import render


def write_lifelong_report(lifelong: Sequence[Path], page: Path, *, scale: str, seed: int) -> None:
    """Write the page, as self-contained as the report.

    Args:
        lifelong: tables and figures, see `lifelong_section`.
        scale, seed: of the run.

    Raises:
        RecordError: mlubench.csv is not among them, or has no row.
    """
    section = lifelong_section(lifelong)
    if section is None:
        found = ", ".join(path.name for path in lifelong) or "none"
        raise RecordError(
            f"Asked for a page of mlubench.csv. Found {found}. Run rule make_mlubench (--forcerun)."
        )
    write_text(page, render("lifelong.html.j2", {"lifelong": section, "scale": scale, "seed": seed}))
