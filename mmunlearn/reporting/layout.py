"""What the tables are made of: names in the paper's order, and CSV files with text cells.

A table is a list of dictionaries from column to text, exactly as in its CSV file, so that every later step
(comparison, figure, page) sees the numbers that a reader sees. An empty cell is a missing value.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmunlearn.records import write_text

Row = dict[str, str]
Table = list[Row]
Block = dict[str, dict[str, Row]]  # method -> target -> row

TARGETS = ("person", "event")
METRICS = ("efficacy", "generality", "retain", "scope", "real", "world_fact")
FORGET_METRICS = METRICS[:2]
UTILITY_METRICS = METRICS[2:]
UNLEARNING = ("PO", "GA", "GD", "KL", "DPO")
METHODS = ("Finetune", *UNLEARNING, "Goal")

TITLES = dict(zip(METRICS, ("Efficacy", "Generality", "Retain", "Scope", "Real", "World Fact"), strict=True))
UNITS = {
    "person": dict(
        zip(METRICS, ("Precision", "Precision", "Precision", "ROUGE-L", "Precision", "POPE"), strict=True)
    ),
    "event": dict(zip(METRICS, ("G-Eval", "G-Eval", "ROUGE-L", "Precision", "ROUGE-L", "POPE"), strict=True)),
}
MISSING = "–"


def method_order(method: str) -> tuple[int, int, str]:
    """Sort key: the paper's order; methods the paper does not have come before Goal, by name."""
    known = METHODS.index(method) if method in METHODS else len(METHODS)
    return (method == "Goal", known, method)


def recipe_method(recipe: str) -> str:
    """The method of a recipe as published: `ga-person05` is GA, `finetuned` Finetune, `goal-...` Goal."""
    name = recipe.rsplit("-", 1)[0]
    return {"finetuned": "Finetune", "goal": "Goal"}.get(name, name.upper())


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed decimals, never `-0.00`; empty where there is none or it is not finite."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def read_table(path: str | Path) -> Table:
    """Read a CSV file; every cell stays text."""
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file atomically; a column that a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def join_reasons(reasons: dict[str, str]) -> str:
    """`metric: why` for each empty cell of a row, separated by `; `."""
    return "; ".join(f"{metric}: {text.replace(';', ',')}" for metric, text in reasons.items())


def reason_of(row: Row, metric: str) -> str:
    """Why `metric` is empty in a row of Table III; the inverse of `join_reasons`."""
    for part in row["reason"].split("; "):
        if part.startswith(f"{metric}: "):
            return part.removeprefix(f"{metric}: ")
    return "no reason given"


def blocks(rows: Table) -> dict[tuple[str, str], Block]:
    """(model, percent) -> block of Table III, in the order of the rows."""
    grouped: dict[tuple[str, str], Block] = {}
    for row in rows:
        block = grouped.setdefault((row["model"], row["forget_percent"]), {})
        block.setdefault(row["method"], {})[row["target"]] = row
    return grouped


def display(row: Row | None, metric: str) -> str:
    """A cell as in the paper: one decimal, `± std` where there are several seeds, a dash if missing."""
    if not row or not row[metric]:
        return MISSING
    std = row.get(f"{metric}_std")
    return f"{float(row[metric]):.1f}" + (f" ± {float(std):.1f}" if std else "")


def podium(block: Block, target: str, metric: str) -> dict[str, str]:
    """Method -> `best` or `second` among the five unlearning methods, by the value as displayed.

    Equal values share their place; the second place is the next smaller value.
    """
    shown = {
        method: round(float(block[method][target][metric]), 1)
        for method in UNLEARNING
        if target in block.get(method, {}) and block[method][target][metric]
    }
    places = dict(zip(sorted(set(shown.values()), reverse=True), ("best", "second"), strict=False))
    return {method: places[value] for method, value in shown.items() if value in places}
