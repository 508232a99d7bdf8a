"""Names of metrics and methods in the paper's order, and tables as CSV files with text cells.

A table is a list of dictionaries from column to text, exactly as in its CSV file, so that every later step
(comparison, figure, page) sees the numbers that a reader sees. An empty cell is a missing value.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mmunlearn.escape import guard, unguard
from mmunlearn.files import RecordError, read_csv
from mmunlearn.ids import TARGETS
from mmunlearn.records import write_text

Row = dict[str, str]
Table = list[Row]
Block = dict[str, dict[str, Row]]  # method -> target -> row

METRICS = ("efficacy", "generality", "retain", "scope", "real", "world_fact")
FORGET_METRICS = METRICS[:2]
UTILITY_METRICS = METRICS[2:]
UNLEARNING = ("PO", "GA", "GD", "KL", "DPO")
METHODS = ("Finetune", *UNLEARNING, "Goal")
BOUNDS = ("Finetune", "Goal")
ORDER = ("Finetune", "PO", "GA", "GD", "GD+BGD", "KL", "KL+BGD", "DPO", "NPO", "SimNPO", "Goal")

TITLES = dict(zip(METRICS, ("Efficacy", "Generality", "Retain", "Scope", "Real", "World Fact"), strict=True))
UNITS = {
    "person": dict(zip(METRICS, (*["Precision"] * 3, "ROUGE-L", "Precision", "POPE"), strict=True)),
    "event": dict(zip(METRICS, ("G-Eval", "G-Eval", "ROUGE-L", "Precision", "ROUGE-L", "POPE"), strict=True)),
}
MISSING = "–"


@dataclass(frozen=True)
class Form:
    """What tells the paper's tables of scores apart.

    `keys` come first in the CSV file, then `metrics`; `methods` are those that the paper prints, in its order.
    `gains`: a variant (`GD+BGD`) shows what it gains over its base method (`GD`).
    """

    title: str
    label: str
    keys: tuple[str, ...]
    metrics: tuple[str, ...]
    methods: tuple[str, ...]
    gains: bool = False

    @property
    def unlearning(self) -> tuple[str, ...]:
        """The paper's methods without the bounds."""
        return tuple(method for method in self.methods if not is_bound(method))

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Target and metric of the columns of scores, as printed."""
        return list(product(TARGETS, self.metrics))


TABLE3 = Form("Table III", "tab:pebench", ("model", "forget_percent", "method", "target"), METRICS, METHODS)
TABLE4 = Form(
    "Table IV",
    "tab:pebench-both",
    ("model", "method", "target"),
    tuple(metric for metric in METRICS if metric != "scope"),
    ("Finetune", "GD", "GD+BGD", "KL", "KL+BGD", "Goal"),
    gains=True,
)
FORMS = {"table3": TABLE3, "table4": TABLE4}


def is_bound(method: str) -> bool:
    """Whether a row is a bound of unlearning, not a method; a bound may name its seeds (`Goal, seed 101`)."""
    return method.partition(", ")[0] in BOUNDS


def method_order(method: str) -> tuple[int, int, str]:
    """Sort key: the papers' order; methods that they do not have come before Goal, by name."""
    known = ORDER.index(method) if method in ORDER else len(ORDER)
    return (method == "Goal", known, method)


def in_order(methods: Iterable[str]) -> list[str]:
    """Each method once, by `method_order`."""
    return sorted(set(methods), key=method_order)


def number(value: float | None, digits: int = 2) -> str:
    """A number as it is printed: rounded once, never `-0.00`; empty where there is none or it is not finite."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def full(value: float | None) -> str:
    """A number as tables keep it, with all its digits; empty where there is none or it is not finite."""
    return "" if value is None or not math.isfinite(value) else repr(float(value) + 0.0)


def read_table(path: str | Path) -> Table:
    """Read a CSV file; every cell stays text. Raises RecordError where it is none, with the line."""
    rows = read_csv(path)
    names = rows[0][1] if rows else []
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise RecordError(
                f"Asked {path}, line {line}, for {len(names)} cells, as its first line has. Found {len(cells)}. Save "
                "the table again, or run the rule that wrote it again (--forcerun)."
            )
    return [dict(zip(names, map(unguard, cells), strict=True)) for _, cells in rows[1:]]


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file atomically; a column that a row lacks is empty, and no text is a spreadsheet's formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: guard(cell) for name, cell in row.items()} for row in rows)
    write_text(path, text.getvalue())


def select(rows: Table, **cells: str) -> Table:
    """The rows that have these cells."""
    return [row for row in rows if cells.items() <= row.items()]


def distinct(rows: Table, *columns: str) -> list[tuple[str, ...]]:
    """The values that columns take together, in the order of the rows."""
    return list(dict.fromkeys(tuple(row[column] for column in columns) for row in rows))


def values(rows: Table, column: str) -> list[str]:
    """The values of a column, each once, in the order of the rows."""
    return [value for (value,) in distinct(rows, column)]


def training_seeds(rows: Table) -> str:
    """What rows of models were trained from: `Training seeds: 1 (one run)`."""
    lists = values(rows, "seed_list")
    one = len(lists) == 1 and " " not in lists[0]
    return f"Training seeds: {' / '.join(lists)}{' (one run)' if one else ''}"


def judges_of(rows: Table) -> list[str]:
    """The judges of a table, each once; seeds of one row may have had several."""
    return list(dict.fromkeys(name for cell in values(rows, "judge") for name in cell.split(", ")))


def join_reasons(reasons: dict[str, str]) -> str:
    """`metric: why` for each empty cell of a row, separated by `; `."""
    return "; ".join(f"{metric}: {text.replace(';', ',')}" for metric, text in reasons.items())


def reason_of(row: Row, metric: str) -> str:
    """Why `metric` is empty in a row of a table; the inverse of `join_reasons`."""
    for part in row["reason"].split("; "):
        if part.startswith(f"{metric}: "):
            return part.removeprefix(f"{metric}: ")
    return "no reason given"


def blocks(rows: Table) -> dict[tuple[str, str], Block]:
    """(model, percent) -> block of a table, in the order of the rows."""
    grouped: dict[tuple[str, str], Block] = {}
    for row in rows:
        block = grouped.setdefault((row["model"], row["forget_percent"]), {})
        block.setdefault(row["method"], {})[row["target"]] = row
    return grouped


def with_seeds(row: Row) -> str:
    """A row's method and the seeds behind it, e.g. `Goal, seed 101`."""
    return f"{row['method']}, {'seed' if row['seeds'] == '1' else 'seeds'} {row['seed_list']}"


def display(row: Row | None, metric: str) -> str:
    """A cell as in the paper: one decimal, `± std` where there are several seeds, a dash if missing."""
    if not row or not row[metric]:
        return MISSING
    std = row.get(f"{metric}_std")
    return number(float(row[metric]), 1) + (f" ± {number(float(std), 1)}" if std else "")


def without_ceiling(ceiling: Table, rows: Table) -> str:
    """A sentence on the targets of a table that its ceiling lacks (configuration `ceiling_targets`), else empty."""
    others = [target for target in values(rows, "target") if target not in values(ceiling, "target")]
    return f" None was trained for {' or '.join(others)} unlearning." if others else ""


def place_of(row: Row | None, metric: str) -> str:
    """`best` or `second` where a cell has that place, else empty."""
    return (row or {}).get(f"{metric}_place", "")


def gain(block: Block, method: str, target: str, metric: str) -> str:
    """What a variant (`GD+BGD`) gains over its base method (`GD`), e.g. `+6.3`.

    Empty for other methods, and where either value is missing.
    """
    base = method.rpartition("+")[0]
    ours, theirs = (block.get(name, {}).get(target, {}).get(metric) for name in (method, base))
    return signed(float(ours) - float(theirs)) if ours and theirs else ""


def signed(value: float) -> str:
    """A difference with one decimal and its sign, as typeset: `+6.3`, `−1.8`, `+0.0`."""
    return f"{float(number(value, 1)):+.1f}".replace("-", "−")
