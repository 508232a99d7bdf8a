"""What the lifelong figures and the page read of `tables/mlubench.csv` and of the tables of the same columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from statistics import fmean

from mmunlearn.records import RecordError
from mmunlearn.reporting.layout import Row, Table
from mmunlearn.tasks import TASK

CELL = re.compile(f"({TASK})-U({TASK})")


def matrix_tasks(columns: Iterable[str]) -> list[str]:
    """The tasks, in the order of the table's columns `X-UX`. Raises RecordError where it has none."""
    cells = filter(None, map(CELL.fullmatch, columns))
    tasks = list(dict.fromkeys(one[1] for one in cells if one[1] == one[2]))
    if not tasks:
        raise RecordError(
            "Asked for columns X-UY, task X after unlearning task Y. Found none. Run rule make_mlubench again "
            "(--forcerun)."
        )
    return tasks


def at(row: Row, task: str, stage: str) -> float:
    """A cell of the matrix, not a number where it is empty."""
    return value(row, f"{task}-U{stage}")


def value(row: Row, column: str) -> float:
    """A number of a row, not a number where it is empty."""
    return float(row[column]) if row.get(column) else math.nan


def so_far_means(row: Row, tasks: Sequence[str]) -> list[float]:
    """After every task, the mean over the tasks so far, each alike; not a number where one of them is missing."""
    return [fmean(at(row, task, stage) for task in tasks[: place + 1]) for place, stage in enumerate(tasks)]


def variant_of(method: str) -> str:
    """The method that a row's label varies: `GA` of `GA, stopped`; its own where it varies none."""
    return method.partition(", ")[0]


def metric_rows(rows: Table, metric: str) -> dict[str, Row]:
    """Method -> its row of a metric, in the order of the table."""
    return {row["method"]: row for row in rows if row["metric"] == metric}
