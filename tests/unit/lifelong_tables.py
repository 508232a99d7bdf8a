"""Small tables in the columns of `mlubench.csv` and `lifelong_untouched.csv`, made up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

from mmunlearn.reporting.layout import Row, Table, write_table

METHODS = (
    *("GA", "GD", "KL", "NPO", "PO", "GA, stopped", "GD, stopped", "Base"),
    *("LUMoE", "LUMoE, prototypes", "LUMoE, oracle gate", "Last expert"),
)
METRICS = ("forget", "utility", "knows", "degenerate")
PARTS = ("std", "low", "high", "n", "missing", "left_out", "clusters", "place")
LAST = {
    "seeds": "1",
    "seed_list": "1",
    "judge": "local",
    "missing_pictures": "0 of 40",
    "digest": "d1",
    "reason": "",
}


def share(method: str, metric: str, task: int, stage: int) -> float:
    """In [0, 1], by the places of the four."""
    start = 0.9 - 0.06 * METHODS.index(method) - 0.02 * METRICS.index(metric)
    return round(max(0.0, start - 0.01 * task - 0.05 * stage), 4)


def cells(values: dict[str, float]) -> Row:
    """Columns with all their parts."""
    row: Row = {}
    for name, one in values.items():
        row |= {name: repr(one)} | {f"{name}_{part}": "" for part in PARTS}
        row |= {f"{name}_low": repr(max(0.0, one - 0.1)), f"{name}_high": repr(min(1.0, one + 0.1))}
        row |= {f"{name}_n": "40", f"{name}_clusters": "8", f"{name}_missing": "0", f"{name}_left_out": "2"}
    return row


def matrix(tasks: Sequence[str], methods: Sequence[str] = METHODS, model: str = "m") -> Table:
    """Rows of mlubench.csv; the first two methods have the places in the first column."""
    rows = []
    for method in methods:
        for metric in METRICS:
            pairs = combinations_with_replacement(range(len(tasks)), 2)
            values = {f"{tasks[x]}-U{tasks[y]}": share(method, metric, x, y) for x, y in pairs}
            row = {"model": model, "method": method, "metric": metric} | cells(values) | LAST
            place = dict(zip(methods, ("best", "second"), strict=False)).get(method, "")
            rows.append(row | {f"{tasks[0]}-U{tasks[0]}_place": place if metric in METRICS[:2] else ""})
    return rows


def untouched(tasks: Sequence[str], methods: Sequence[str] = METHODS, model: str = "m") -> Table:
    """Rows of lifelong_untouched.csv, of all classes and of one."""
    rows = []
    for method in methods:
        for metric in METRICS[1:]:
            for part, name in enumerate(("all", "Animals")):
                values = {f"U{stage}": share(method, metric, 5 * part, y) for y, stage in enumerate(tasks)}
                place = {"role": "untouched", "entity_class": name}
                rows.append(
                    {"model": model, "method": method, "metric": metric} | place | cells(values) | LAST
                )
    return rows


def write(
    folder: Path, tasks: Sequence[str], methods: Sequence[str] = METHODS, models: Sequence[str] = ("m",)
) -> Path:
    """Both tables, of all models."""
    for name, rows in (("mlubench", matrix), ("lifelong_untouched", untouched)):
        table = [row for model in models for row in rows(tasks, methods, model)]
        write_table(folder / f"{name}.csv", list(table[0]), table)
    return folder
