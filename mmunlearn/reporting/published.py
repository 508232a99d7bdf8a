"""Ours beside the published numbers: by how much they differ, and whether methods come in the same order.

The table is long, one comparison a row, so that one filter and one pivot make any view of it:

- `kind`: `value` (a cell of the table), `spearman_unlearning` (rank correlation over the paper's unlearning
  methods: five in Table III, four in Table IV) or `spearman_all_rows` (over all its rows, Finetune and Goal
  included, which correlate almost by construction);
- `model` is ours, `published_model` the paper's: one of ours stands beside the published model of its name; where
  there is none (a pocket model), beside each of them at the same percent;
- `forget_percent`, `target`, `metric`: the cell; `method`: for `value` rows only;
- `ours`, `published`: for `value` rows only; `difference` (ours minus published, points of 100): where both are of the
  same model;
- `spearman` (-1 to 1, ties share their mean rank, four decimals) and `rows` (how many it rests on: over so few, a
  coefficient says little): for the other kinds only. It is taken from the two-decimal numbers of the tables, so
  that a reader gets the same from them;
- `reason`: why a number is empty: it is missing on either side, or a column is constant and has no ranks.
"""

from __future__ import annotations

from itertools import product

from mmunlearn.ids import TARGETS
from mmunlearn.reporting.layout import TABLE3, Form, Row, Table, distinct, number, reason_of, values

VERSUS_COLUMNS = (
    *("kind", "model", "published_model", "forget_percent", "target", "metric", "method"),
    *("ours", "published", "difference", "spearman", "rows", "reason"),
)
SPEARMAN_KINDS = ("spearman_unlearning", "spearman_all_rows")
PERCENT = "5"  # of a published table without that column: Table IV, PEBench, section IV-E

Index = dict[tuple[str, str, str, str], Row]


def versus_rows(ours: Table, published: Table, form: Form = TABLE3) -> Table:
    """Compare each of our (model, percent) with the published model of its name, or else with each of them.

    Args:
        ours: rows of the table, in order.
        published: the paper's rows; `published_model` keeps the order in which they first come.
    """
    ours_at, published_at = _index(ours), _index(published)
    models = values(published, "model")
    keys = ("model", "published_model", "forget_percent", "target", "metric")
    rows: Table = []
    for model, percent in distinct(ours, "model", "forget_percent"):
        twins = [model] if model in models else models
        for twin, target, metric in product(twins, TARGETS, form.metrics):
            place = dict(zip(keys, (model, twin, percent, target, metric), strict=True))
            cells = _value_rows(place, ours_at, published_at, form)
            rows += cells + [_spearman_row(kind, place, cells, form) for kind in SPEARMAN_KINDS]
    return rows


def spearman(ours: list[str], published: list[str]) -> tuple[float | None, str]:
    """Rank correlation of two columns of text cells: the coefficient, or None with the reason."""
    from scipy.stats import spearmanr

    for name, column in (("ours", ours), ("published", published)):
        if len(set(column)) < 2:
            return None, f"{name} is constant ({column[0]})"
    return float(spearmanr(list(map(float, ours)), list(map(float, published))).statistic), ""


def _index(rows: Table) -> Index:
    return {
        (row["model"], row.get("forget_percent", PERCENT), row["method"], row["target"]): row for row in rows
    }


def _value_rows(place: Row, ours_at: Index, published_at: Index, form: Form) -> Table:
    """One row for each method that either side has, in the paper's order, ours without a twin last."""
    percent, target, metric = place["forget_percent"], place["target"], place["metric"]
    extra = [key[2] for key in ours_at if key[:2] == (place["model"], percent)]
    rows = []
    for method in dict.fromkeys([*form.methods, *extra]):
        row = ours_at.get((place["model"], percent, method, target))
        twin = published_at.get((place["published_model"], percent, method, target))
        ours = row[metric] if row else ""
        published = number(float(twin[metric])) if twin and twin[metric] else ""
        reasons = []
        if not ours:
            reasons.append(f"ours: {reason_of(row, metric) if row else 'not in this run'}")
        if not published:
            reasons.append(f"published: no {method} at {percent}%")
        same = place["model"] == place["published_model"]
        difference = number(float(ours) - float(published)) if same and not reasons else ""
        rows.append(
            {"kind": "value", **place, "method": method, "ours": ours, "published": published}
            | {"difference": difference, "reason": ", ".join(reasons)}
        )
    return rows


def _spearman_row(kind: str, place: Row, cells: Table, form: Form) -> Row:
    methods = form.unlearning if kind == "spearman_unlearning" else form.methods
    pairs = [row for row in cells if row["method"] in methods]
    absent = [row["method"] for row in pairs if not (row["ours"] and row["published"])]
    row = {"kind": kind, **place, "rows": str(len(pairs) - len(absent))}
    if absent:
        return row | {"reason": f"missing values: {', '.join(absent)}"}
    value, reason = spearman([one["ours"] for one in pairs], [one["published"] for one in pairs])
    return row | {"spearman": number(value, digits=4), "reason": reason}
