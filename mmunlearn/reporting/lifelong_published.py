"""Our matrix beside MLUBench's Tables 2 and 23: by how much cells differ, and whether methods come in the same order.

`mlubench_vs_published.csv` has a row a cell: `ours`, `published`, and their `difference` where both are of the same
model; a pocket model has no published twin, and stands beside each of the paper's models without one, as `reason` says.

`mlubench_ranks.csv` has the rank correlation (Spearman) of the methods that both have, column by column: of the
`baselines`, and of `all`, LUMoE included, which leads nearly everywhere by construction. `n` says how many methods it
rests on: over three to five it is noise, so there is no test of it, nor a mean that would hide that. Values are ranked
as they are printed; those printed alike share a rank. `apart` says how many of our pairs of methods differ beyond the
interval of their difference. `whose` is `ours`, or `paper` for what the paper's models reach against each other.

In both `missing_pictures` is as in mlubench.csv, empty where no number of ours is behind it, and `digest` of all
inputs, the published rows among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

from mmunlearn.records import digest_of
from mmunlearn.reporting.differences import Standing
from mmunlearn.reporting.layout import Row, Table, full, reason_of, select, values
from mmunlearn.reporting.lifelong_differences import DIGITS
from mmunlearn.reporting.published import spearman

KEYS = ("model", "published_model", "metric", "column")
RESTS = ("missing_pictures", "digest", "reason")
VERSUS_COLUMNS = (*KEYS, "method", "ours", "published", "difference", *RESTS)
RANK_COLUMNS = ("whose", *KEYS, "methods", "n", "spearman", "apart", *RESTS)
METRICS = ("forget", "utility")
LUMOE = "LUMoE"
FEWEST = 3  # methods that can be ranked


def twins_of(model: str, published: Table) -> list[str]:
    """The published models that one of ours stands beside: that of its name, or each."""
    models = values(published, "model")
    return [model] if model in models else models


def versus_rows(rows: Table, published: Table, columns: Sequence[str]) -> Table:
    """A row a cell of the methods that either side has, the paper's first."""
    result: Table = []
    for model in values(rows, "model"):
        for twin, metric, column in product(twins_of(model, published), METRICS, columns):
            theirs = _by_method(published, twin, metric)
            ours = _by_method(rows, model, metric)
            place = dict(zip(KEYS, (model, twin, metric, column), strict=True))
            for method in dict.fromkeys([*theirs, *ours]):
                result.append(place | _versus(method, ours.get(method), theirs.get(method), place))
    return result


def _versus(method: str, ours: Row | None, theirs: Row | None, place: Row) -> Row:
    column = place["column"]
    value = ours[column] if ours else ""
    published = full(float(theirs[column])) if theirs and theirs.get(column) else ""
    reasons = [] if value else [f"ours: {reason_of(ours, column) if ours else 'not in this run'}"]
    reasons += [] if published else [f"published: no {method} in {column}"]
    if not reasons and place["model"] != place["published_model"]:
        reasons = ["another model: levels do not compare"]
    return {
        "method": method,
        "ours": value,
        "published": published,
        "difference": full(float(value) - float(published)) if not reasons else "",
        **_rests([ours] if ours else [], [theirs] if theirs else []),
        "reason": ", ".join(reasons),
    }


def rank_rows(versus: Table, standing: Standing, published: Table) -> Table:
    """Ours against each published model, then the paper's models against each other."""
    rows: Table = []
    for place in dict.fromkeys(tuple(row[key] for key in KEYS) for row in versus):
        at = dict(zip(KEYS, place, strict=True))
        pairs = [row for row in select(versus, **at) if row["ours"] and row["published"]]
        model, _, metric, column = place
        for kind, chosen in _kinds([row["method"] for row in pairs]):
            cells = [row for row in pairs if row["method"] in chosen]
            both = [[float(row[whose]) for row in cells] for whose in ("ours", "published")]
            apart = [standing.ahead((model, metric, column), *pair) for pair in combinations(chosen, 2)]
            count = f"{len(apart) - apart.count(0)} of {len(apart)}"
            rows.append({"whose": "ours", **at, **_ranked(kind, *both), "apart": count, **_rests(cells, [])})
    columns = [name for name in (published[0] if published else {}) if "-U" in name]
    for (one, other), metric, column in product(
        combinations(values(published, "model"), 2), METRICS, columns
    ):
        at = dict(zip(KEYS, (one, other, metric, column), strict=True))
        tables = [_by_method(published, model, metric) for model in (one, other)]
        for kind, chosen in _kinds([method for method in tables[0] if method in tables[1]]):
            pair = [[float(table[method][column]) for method in chosen] for table in tables]
            rests = _rests([], [table[name] for table in tables for name in chosen])
            rows.append({"whose": "paper", **at, **_ranked(kind, *pair), **rests})
    return rows


def _kinds(methods: Sequence[str]) -> list[tuple[str, list[str]]]:
    return [("baselines", [one for one in methods if one != LUMOE]), ("all", list(methods))]


def _ranked(kind: str, ours: list[float], theirs: list[float]) -> Row:
    row = {"methods": kind, "n": str(len(ours))}
    if len(ours) < FEWEST:
        return row | {"reason": f"{len(ours)} methods that both have: fewer than {FEWEST} have no order"}
    value, reason = spearman(*([round(value, DIGITS) for value in part] for part in (ours, theirs)))
    return row | {"spearman": full(value), "reason": reason}


def methods_ranked(ranks: Table) -> str:
    """On how many methods our rank correlations rest: `3 to 5`."""
    numbers = sorted({n for row in select(ranks, whose="ours") if (n := int(row["n"])) >= FEWEST})
    return " to ".join(map(str, dict.fromkeys([numbers[0], numbers[-1]]))) if numbers else "no"


def _rests(ours: Table, theirs: Table) -> Row:
    """What a number rests on."""
    digest = digest_of([[row["digest"] for row in ours], theirs])
    return {"missing_pictures": ", ".join(values(ours, "missing_pictures")), "digest": digest}


def _by_method(rows: Table, model: str, metric: str) -> dict[str, Row]:
    return {row["method"]: row for row in select(rows, model=model, metric=metric)}
