"""Small made-up tables of the lifelong phase, in their columns, and all that the report shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

from PIL import Image

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
    """Rows of mlubench.csv; the first method is the best in the first column."""
    rows = []
    for method in methods:
        for metric in METRICS:
            pairs = combinations_with_replacement(range(len(tasks)), 2)
            values = {f"{tasks[x]}-U{tasks[y]}": share(method, metric, x, y) for x, y in pairs}
            row = {"model": model, "method": method, "metric": metric} | cells(values) | LAST
            best = method == methods[0] and metric in METRICS[:2]
            rows.append(row | {f"{tasks[0]}-U{tasks[0]}_place": "best" if best else ""})
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


def classes(tasks: Sequence[str], methods: Sequence[str] = METHODS) -> Table:
    """Rows of lifelong_classes.csv: of people twice the share of animals; the last task has no animals."""
    rows = []
    for method in methods:
        for metric in ("forget", "knows"):
            for part, name in enumerate(("all", "Animals", "Personage")):
                pairs = combinations_with_replacement(range(len(tasks)), 2)
                values = {
                    f"{tasks[x]}-U{tasks[y]}": share(method, metric, x, y) * (1, 0.3, 0.6)[part]
                    for x, y in pairs
                }
                row = {
                    "model": "m",
                    "method": method,
                    "metric": metric,
                    "role": "forget",
                    "entity_class": name,
                }
                row |= cells(values) | LAST
                rows.append(row | ({f"{tasks[-1]}-U{tasks[-1]}": ""} if name == "Animals" else {}))
    return rows


def gates(tasks: Sequence[str], methods: Sequence[str] = ("LUMoE", "Last expert")) -> Table:
    """Rows of lifelong_gate.csv."""
    rows = []
    for method in methods:
        for stage in tasks:
            for role, outcomes in (
                ("forget", (0.8, 0.15, 0.05)),
                ("retain", (0, 0.1, 0.9)),
                ("untouched", (0, 0.3, 0.7)),
                ("stranger", (0, 0.4, 0.6)),
            ):
                numbers = dict(zip(("right", "wrong", "base"), outcomes, strict=True))
                ends = {
                    f"{name}_{end}": repr(one) for name, one in numbers.items() for end in ("low", "high")
                }
                rows.append(
                    {"model": "m", "method": method, "gate": "vlm", "order": "AB", "stage": stage, "set": role}
                    | {"entity_class": "", "n": "40", "clusters": "8", "unusable": "0"}
                    | {name: repr(one) for name, one in numbers.items()} | ends
                )  # fmt: skip
    return rows


def costs(tasks: Sequence[str], methods: Sequence[str] = ("GA", "GA, stopped", "LUMoE")) -> Table:
    """Rows of lifelong_cost.csv."""
    return [
        {
            "model": "m", "method": method, "order": "AB", "seed": "1", "tasks": str(at + 1), "stage": stage,
            "steps": str(10 - 2 * at), "stop_reason": "forget bound" if "stop" in method else "all steps",
            "seconds": "3.0", "seconds_so_far": str(3.0 * (at + 1)), "adapters": "1", "adapter_bytes": "490000",
            "memory_bytes": "8790000", "peak_memory_gb": "1.1",
        }
        for method in methods
        for at, stage in enumerate(tasks)
    ]  # fmt: skip


def orders(methods: Sequence[str] = METHODS) -> Table:
    """Rows of lifelong_orders.csv: two orders."""
    return [
        {"model": "m", "method": method, "order": order, "metric": metric}
        | cells({"last": share(method, metric, at, 1), "all": share(method, metric, at, 0)})
        | LAST
        for method in methods
        for at, order in enumerate(("AB", "BA"))
        for metric in METRICS[:2]
    ]


def beside(tasks: Sequence[str]) -> tuple[Table, Table]:
    """Rows of mlubench_vs_published.csv and of mlubench_ranks.csv."""
    place = {"model": "m", "published_model": "llava-v1.6-7b", "column": "A-UA"}
    versus = [
        place
        | {
            "metric": metric,
            "method": method,
            "ours": "0.9",
            "published": published,
            "difference": "",
            "reason": "",
        }
        for metric in METRICS[:2]
        for method, published in (("GA", "0.38"), ("LUMoE", "1.0"), ("Base", ""))
    ]
    ranks = [
        {
            "whose": whose,
            **place,
            "metric": "forget",
            "methods": "baselines",
            "n": "4",
            "spearman": "-0.4",
            "reason": "",
        }
        for whose in ("ours", "paper")
    ]
    return versus, ranks


def write_all(folder: Path, tasks: Sequence[str] = "AB", methods: Sequence[str] = METHODS) -> list[Path]:
    """Every table that the report shows but that of drift, and blank figures."""
    write(folder, tasks, methods)
    versus, ranks = beside(tasks)
    undo = {
        "model": "m",
        "method": "LUMoE",
        "order": "AB",
        "seed": "1",
        "task": "A",
        "n": "40",
        "before": "1.0",
    }
    undo |= {"with_expert": "0.05", "without_expert": "0.975", "low": "0.9", "high": "1.0", "left_out": "0"}
    tables = {
        "lifelong_classes": classes(tasks, methods), "lifelong_gate": gates(tasks), "lifelong_cost": costs(tasks),
        "lifelong_orders": orders(methods), "mlubench_vs_published": versus, "mlubench_ranks": ranks,
        "lifelong_undo": [undo],
    }  # fmt: skip
    for name, rows in tables.items():
        write_table(folder / f"{name}.csv", list(rows[0]), rows)
    for name in ("lifelong_matrix", "lifelong_utility"):
        Image.new("RGB", (1440, 900), "white").save(folder / f"{name}.png")
    return sorted([*folder.glob("*.csv"), *folder.glob("*.png")])
