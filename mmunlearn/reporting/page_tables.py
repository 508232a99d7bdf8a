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
    place_of,
    select,
    signed,
    values,
    with_seeds,
)

HEADS = [(TITLES[metric], UNITS[target][metric]) for target, metric in TABLE3.cells]
SPEARMAN_LABELS = {"spearman_unlearning": "Rank ρ, 5 methods", "spearman_all_rows": "Rank ρ, all 7 rows"}

PageBlock = dict[str, Any]


def score_blocks(rows: Table) -> list[PageBlock]:
    """Table III: each number with its 95% interval below, a column's questions and clusters in the last row."""
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
        "footer": [
            {"label": "Questions", "cells": [_count(block, *cell) for cell in TABLE3.cells]},
        ],
        "doubtful": [
            (f"{row['method']}, {row['target']}", row["world_fact_doubtful"])
            for row in rows
            if row["world_fact_doubtful"] not in ("", "0")
        ],
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
        "place": place_of(row, metric),
    }


def _count(block: Block, target: str, metric: str) -> str:
    """Questions behind a column, in how many clusters, and how many of them have no verdict."""
    missing = sum(int(row[target][f"{metric}_missing"]) for row in block.values() if target in row)
    questions, clusters = (_counts(block, target, metric, part) for part in ("n", "clusters"))
    text = f"{questions} in {clusters}" if clusters not in ("0", MISSING) else questions
    return f"{text} ({missing} missing)" if missing else text


def _counts(block: Block, target: str, metric: str, part: str) -> str:
    """A count behind a column, as a range where rows differ."""
    rows = [of_target[target] for of_target in block.values() if target in of_target]
    counts = sorted({int(row[f"{metric}_{part}"]) for row in rows if row[metric]})
    return "–".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else MISSING


def difference_blocks(differences: Table) -> list[PageBlock]:
    """By how much each method differs from Goal, with the interval of the paired difference below."""
    keys = ("model", "forget_percent")
    to_goal = select(differences, other="Goal")
    return [
        _difference_block(*key, select(to_goal, **dict(zip(keys, key, strict=True))))
        for key in distinct(to_goal, *keys)
    ]


def _difference_block(model: str, percent: str, rows: Table) -> PageBlock:
    at = {(row["method"], row["target"], row["metric"]): row for row in rows}
    return {
        "title": f"{model}, {percent}% forgotten, minus Goal",
        "rows": _lines(values(rows, "method"), lambda *place: _difference_cell(at.get(place))),
        "footer": [],
    }


def _difference_cell(row: Row | None) -> Row:
    if not row or not row["difference"]:
        return {"main": MISSING, "sub": "", "place": ""}
    low, high = (number(float(row[end]), 0).replace("-", "−") if row[end] else "" for end in ("low", "high"))
    sub = f"{low} to {high}" if low else ""
    return {"main": signed(float(row["difference"])), "sub": sub, "place": ""}


def rank_lines(ranks: Table) -> list[dict[str, str]]:
    """The mean rank correlations, ours and the paper's own: {whose, pair, rho, columns}."""
    return [
        {
            "whose": row["whose"],
            "pair": f"{row['model']}, {row['forget_percent']}% and {row['other_model']}, {row['other_percent']}%",
            "rho": _rho(row["spearman"]),
            "columns": row["columns"],
        }
        for row in ranks
    ]


def _versus_block(model: str, twin: str, percent: str, rows: Table) -> PageBlock:
    at = {(row["kind"], row["method"], row["target"], row["metric"]): row for row in rows}
    methods = values(select(rows, kind="value"), "method")
    return {
        "title": f"{model} beside {twin}, {percent}% forgotten",
        "rows": _lines(methods, lambda *place: _versus_cell(at["value", *place])),
        "footer": [
            {"label": label, "cells": [_rho(at[kind, "", *cell]["spearman"]) for cell in TABLE3.cells]}
            for kind, label in SPEARMAN_LABELS.items()
        ],
    }


def _versus_cell(row: Row) -> Row:
    ours, published = (
        number(float(row[side]), 1) if row[side] else MISSING for side in ("ours", "published")
    )
    return {"main": ours, "sub": published, "place": ""}


def _rho(text: str) -> str:
    return number(float(text)).replace("-", "−") if text else MISSING


def _joined(rows: Table, column: str) -> str:
    return " / ".join(values(rows, column))
