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
- `spearman` (-1 to 1) and `rows` (how many it rests on: over so few, a coefficient says little, and more than two of
  its digits nothing): for the other kinds only. Ours are ranked by how many of the others each is ahead of, ties by
  half, so that what does not differ beyond its interval has one rank;
- `reason`: why a number is empty: it is missing on either side, or a column is constant or noise and has no ranks.

A second table, `ranks`, has the mean of `spearman_unlearning` over the columns (six metrics, five in Table IV, of both
targets) that have one, and sets beside it what the paper's own numbers reach: one of its models against the other at
the same percent, and one percent against another of the same model. `whose` is `ours` or `paper`; `model` and
`forget_percent` stand against `other_model` and `other_percent`; `columns` is how many the mean `spearman` is over.
"""

from __future__ import annotations

from itertools import combinations, product
from operator import eq
from statistics import fmean

from mmunlearn.ids import TARGETS
from mmunlearn.reporting.differences import Standing
from mmunlearn.reporting.layout import Form, Row, Table, distinct, full, reason_of, select, values

VERSUS_COLUMNS = (
    *("kind", "model", "published_model", "forget_percent", "target", "metric", "method"),
    *("ours", "published", "difference", "spearman", "rows", "reason"),
)
RANK_COLUMNS = (
    *("whose", "model", "forget_percent", "other_model", "other_percent"),
    *("spearman", "columns", "reason"),
)
SPEARMAN_KINDS = ("spearman_unlearning", "spearman_all_rows")
PERCENT = "5"  # of a published table without that column: Table IV, PEBench, section IV-E

Index = dict[tuple[str, str, str, str], Row]


def versus_rows(ours: Table, published: Table, standing: Standing, form: Form) -> Table:
    """Compare each of our (model, percent) with the published model of its name, or else with each of them.

    Args:
        ours: rows of the table, in order.
        published: the paper's rows; `published_model` keeps the order in which they first come.
        standing: which of ours is ahead of which.
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
            rows += cells + [_spearman_row(kind, place, cells, standing, form) for kind in SPEARMAN_KINDS]
    return rows


def rank_rows(versus: Table, published: Table, form: Form) -> Table:
    """Ours against each published model, then the paper's models and percents against each other."""
    rows = []
    for model, twin, percent in distinct(versus, "model", "published_model", "forget_percent"):
        place = {"model": model, "published_model": twin, "forget_percent": percent}
        found = select(versus, kind=SPEARMAN_KINDS[0], **place)
        rows.append(
            _mean_row("ours", (model, percent), (twin, percent), [row.get("spearman", "") for row in found])
        )
    at = _index(published)
    runs = list(dict.fromkeys(key[:2] for key in at))
    pairs = [pair for pair in combinations(runs, 2) if sum(map(eq, *pair)) == 1]
    for one, other in sorted(pairs, key=lambda pair: pair[0][0] == pair[1][0]):
        columns = (
            [[float(at[*run, method, target][metric]) for method in form.unlearning] for run in (one, other)]
            for target, metric in form.cells
        )
        rows.append(_mean_row("paper", one, other, [full(spearman(*pair)[0]) for pair in columns]))
    return rows


def _mean_row(whose: str, one: tuple[str, str], other: tuple[str, str], found: list[str]) -> Row:
    present = [float(value) for value in found if value]
    return {
        "whose": whose, "model": one[0], "forget_percent": one[1], "other_model": other[0], "other_percent": other[1],
        "spearman": full(fmean(present)) if present else "", "columns": str(len(present)),
        "reason": "" if present else "no column has a rank correlation",
    }  # fmt: skip


def spearman(ours: list[float], published: list[float]) -> tuple[float | None, str]:
    """Rank correlation of two columns, ties sharing their mean rank: the coefficient, or None with the reason."""
    from scipy.stats import spearmanr

    for name, column in (("ours", ours), ("published", published)):
        if len(set(column)) < 2:
            return None, f"{name} is constant ({column[0]:g})"
    return float(spearmanr(ours, published).statistic), ""


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
        published = full(float(twin[metric])) if twin and twin[metric] else ""
        reasons = []
        if not ours:
            reasons.append(f"ours: {reason_of(row, metric) if row else 'not in this run'}")
        if not published:
            reasons.append(f"published: no {method} at {percent}%")
        same = place["model"] == place["published_model"]
        difference = full(float(ours) - float(published)) if same and not reasons else ""
        rows.append(
            {"kind": "value", **place, "method": method, "ours": ours, "published": published}
            | {"difference": difference, "reason": ", ".join(reasons)}
        )
    return rows


def _spearman_row(kind: str, place: Row, cells: Table, standing: Standing, form: Form) -> Row:
    methods = form.unlearning if kind == "spearman_unlearning" else form.methods
    pairs = [row for row in cells if row["method"] in methods]
    absent = [row["method"] for row in pairs if not (row["ours"] and row["published"])]
    row = {"kind": kind, **place, "rows": str(len(pairs) - len(absent))}
    if absent:
        return row | {"reason": f"missing values: {', '.join(absent)}"}
    at = (place["model"], place["forget_percent"], place["target"], place["metric"])
    wins = standing.wins(at, [one["method"] for one in pairs])
    if len({one["ours"] for one in pairs}) < 2:
        return row | {"reason": f"ours is constant ({pairs[0]['ours']})"}
    if len(set(wins)) < 2:
        return row | {
            "reason": "ours is noise: no two methods differ beyond the interval of their difference"
        }
    value, reason = spearman(wins, [float(one["published"]) for one in pairs])
    return row | {"spearman": full(value), "reason": reason}
