"""Tables of scores as the page's template wants them: blocks of twelve columns, person then event.

A block is {title, rows, footer} and what its kind adds; a row is {label, anchor, cells}; a cell is {main, sub, place}:
the number, the small line below it, and `best` or `second` among the unlearning methods (else empty).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mmunlearn.reporting.layout import (
    MISSING,
    TABLE3,
    TITLES,
    UNITS,
    Block,
    Row,
    Table,
    blocks,
    display,
    distinct,
    is_bound,
    number,
    podium,
    select,
    values,
    with_seeds,
)

HEADS = [(TITLES[metric], UNITS[target][metric]) for target, metric in TABLE3.cells]
SPEARMAN_LABELS = {"spearman_unlearning": "Rank ρ, 5 methods", "spearman_all_rows": "Rank ρ, all 7 rows"}

PageBlock = dict[str, Any]


def score_blocks(rows: Table) -> list[PageBlock]:
    """Table III: each number with its 95% interval below, the questions behind a column in the last row."""
    return [_score_block(model, percent, block) for (model, percent), block in blocks(rows).items()]


def ceiling_blocks(ceiling: Table, table3: Table) -> list[PageBlock]:
    """The ceiling's rows below the Goal rows of Table III that they are to be compared with."""
    places = blocks(ceiling)
    goals = [row for row in select(table3, method="Goal") if (row["model"], row["forget_percent"]) in places]
    return score_blocks([row | {"method": with_seeds(row)} for row in (*goals, *ceiling)])


def versus_blocks(versus: Table) -> list[PageBlock]:
    """Ours with the published number below, and the rank correlations in the last rows."""
    keys = ("model", "published_model", "forget_percent")
    return [
        _versus_block(*key, select(versus, **dict(zip(keys, key, strict=True))))
        for key in distinct(versus, *keys)
    ]


def _score_block(model: str, percent: str, block: Block) -> PageBlock:
    rows = [row for of_target in block.values() for row in of_target.values()]
    return {
        "title": f"{model}, {percent}% forgotten",
        "note": f"Seeds: {_joined(rows, 'seed_list')}. Judge: {_joined(rows, 'judge')}.",
        "rows": _lines(block, lambda method, target, metric: _score_cell(block, method, target, metric)),
        "footer": [{"label": "Questions", "cells": [_count(block, *cell) for cell in TABLE3.cells]}],
        "reasons": [
            f"{row['method']}, {row['target']}: {row['reason'].replace('_', ' ')}"
            for row in rows
            if row["reason"]
        ],
        "real_vs_finetuned": [
            (row["method"], display(row, "real_vs_finetuned")) for row in rows if row["real_vs_finetuned"]
        ],
        "digests": [(row["method"], row["target"], row["digest"]) for row in rows],
    }


def _lines(methods: Iterable[str], cell: Callable[[str, str, str], Row]) -> list[dict[str, Any]]:
    """A row a method, its cells by method, target and metric."""
    return [
        {
            "label": method,
            "anchor": is_bound(method),
            "cells": [cell(method, target, metric) for target, metric in TABLE3.cells],
        }
        for method in methods
    ]


def _score_cell(block: Block, method: str, target: str, metric: str) -> Row:
    row = block[method].get(target)
    low, high = (row[f"{metric}_{end}"] if row else "" for end in ("low", "high"))
    return {
        "main": display(row, metric),
        "sub": f"{float(low):.0f}–{float(high):.0f}" if low and high else "",
        "place": podium(block, target, metric).get(method, ""),
    }


def _count(block: Block, target: str, metric: str) -> str:
    """Questions behind a column, as a range where rows differ, and how many of them have no verdict."""
    rows = [of_target[target] for of_target in block.values() if target in of_target]
    counts = sorted({int(row[f"{metric}_n"]) for row in rows if row[metric]})
    missing = sum(int(row[f"{metric}_missing"]) for row in rows)
    text = "–".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else MISSING
    return f"{text} ({missing} missing)" if missing else text


def _versus_block(model: str, twin: str, percent: str, rows: Table) -> PageBlock:
    at = {(row["kind"], row["method"], row["target"], row["metric"]): row for row in rows}
    methods = values(select(rows, kind="value"), "method")
    return {
        "title": f"{model} beside {twin}, {percent}% forgotten",
        "rows": _lines(methods, lambda *place: _versus_cell(at["value", *place])),
        "footer": [
            {"label": label, "cells": [_correlation(at[kind, "", *cell]) for cell in TABLE3.cells]}
            for kind, label in SPEARMAN_LABELS.items()
        ],
    }


def _versus_cell(row: Row) -> Row:
    ours, published = (f"{float(row[side]):.1f}" if row[side] else MISSING for side in ("ours", "published"))
    return {"main": ours, "sub": published, "place": ""}


def _correlation(row: Row) -> str:
    return number(float(row["spearman"])).replace("-", "−") if row["spearman"] else MISSING


def _joined(rows: Table, column: str) -> str:
    return " / ".join(values(rows, column))
