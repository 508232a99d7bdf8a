"""The lifelong benchmark as a section of a page: what is there of its tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.judge.limits import BLIND
from mmunlearn.records import sha256_of
from mmunlearn.reporting import lifelong_blocks as blocks
from mmunlearn.reporting.layout import judges_of, read_table, training_seeds, values
from mmunlearn.reporting.lifelong_curves import matrix_tasks
from mmunlearn.reporting.lifelong_drift import set_tables
from mmunlearn.reporting.lifelong_gate import BEST_CASE
from mmunlearn.reporting.lifelong_published import methods_ranked
from mmunlearn.reporting.lifelong_typeset import WIDTHS
from mmunlearn.reporting.page_pictures import png_uri


def lifelong_section(files: Sequence[Path]) -> dict[str, Any] | None:
    """What the section shows; None where the phase has not run.

    Args:
        files: tables (CSV) and figures (PNG) of the phase, told by their names; without `mlubench.csv` there is no
            section, and any other that is not there is not shown.
    """
    files = sorted(files, key=lambda path: path.name)
    tables = {path.stem: read_table(path) for path in files if path.suffix == ".csv"}
    rows = tables.get("mlubench")
    if not rows:
        return None
    cost = tables.get("lifelong_cost", [])
    trained = set(values(cost, "method")) or set(values(rows, "method"))
    untouched, orders = tables.get("lifelong_untouched", []), tables.get("lifelong_orders", [])
    drifts = set_tables(tables.get("representation_drift", []))
    return {
        "models": values(rows, "model"),
        "pocket": any(name.startswith("pocket") for name in values(rows, "model")),
        "seeds": training_seeds(rows).partition(": ")[2],
        "widths": WIDTHS,
        "judges": judges_of(rows),
        "order": next(iter(values(orders, "order")), ""),
        "tasks": matrix_tasks(rows[0]),
        "missing_pictures": ", ".join(values(rows, "missing_pictures")),
        "blind": BLIND,
        "digests": {path.name: sha256_of(path)[:16] for path in files if path.suffix == ".csv"},
        "figures": {path.stem: png_uri(path) for path in files if path.suffix == ".png"},
        "matrix": blocks.matrix_blocks(rows, trained),
        "outcome": blocks.outcome_blocks(rows, untouched, trained),
        "untouched": blocks.untouched_blocks(untouched, trained),
        "classes": blocks.class_blocks(tables.get("lifelong_classes", []), trained),
        "gate_note": BEST_CASE,
        "gate": blocks.gate_blocks(tables.get("lifelong_gate", [])),
        "drift": [block for one in drifts for block in blocks.drift_blocks(one)],
        "cost": blocks.cost_blocks(cost),
        "orders": blocks.order_blocks(orders, trained),
        "undo": blocks.undo_blocks(tables.get("lifelong_undo", [])),
        "versus": blocks.versus_blocks(tables.get("mlubench_vs_published", [])),
        "ranks": blocks.rank_blocks(
            tables.get("mlubench_ranks", []), tables.get("mlubench_vs_published", [])
        ),
        "ranked": methods_ranked(tables.get("mlubench_ranks", [])),
    }
