"""How many pictures of the tasks are not there, as every table of the lifelong benchmark says it.

Questions on them are in no count (`lifelong.keep_available`).
"""

from __future__ import annotations

from mmunlearn.lifelong.statistics import TaskStatistics
from mmunlearn.reporting.layout import Row, Table, values

COLUMN = "missing_pictures"


def missing_pictures(counts: TaskStatistics) -> Row:
    """The cell that a row has: `10 of 400`."""
    return {COLUMN: f"{counts.missing_pictures} of {counts.found['pictures']}"}


def missing_note(rows: Table) -> str:
    """The sentence below a printed table; empty where all are there."""
    absent = [cell for cell in values(rows, COLUMN) if cell and not cell.startswith("0 ")]
    return "".join(f"Pictures missing: {cell}; their questions are not in." for cell in absent)
