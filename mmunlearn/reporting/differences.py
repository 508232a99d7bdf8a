"""By how much two methods differ, paired over the same people, events, figures or pictures, and who comes first.

A row of `table3_differences.csv` is a pair of methods (Finetune and Goal among them) in one column of the table:

- `model, forget_percent, target, metric`: the column; `method`, `other`: the pair, in the order of the table;
- `difference`: method minus other, in points of 100, over the seeds that both have; `low`, `high`: its 95% interval.
  Clusters are drawn together for both, and the seeds of a cluster stay together, see `evaluation.intervals`. What
  another seed of training would change is not in it;
- `clusters`: how many; `seeds`: of how many seeds;
- `reason`: why a number is missing.

Two methods are tied where the interval holds 0, or, without an interval, where they are printed alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, groupby
from statistics import fmean

from mmunlearn.evaluation.intervals import difference, pooled
from mmunlearn.records import Scores
from mmunlearn.reporting.layout import Form, Row, Table, full, in_order, is_bound
from mmunlearn.seeds import derive_seed

COLUMNS = (
    *("model", "forget_percent", "target", "metric", "method", "other"),
    *("difference", "low", "high", "clusters", "seeds", "reason"),
)
PRINTED = 0.05  # points: less is not seen in a table
PLACE = ("model", "forget_percent", "target", "metric")
Place = tuple[str, ...]  # of the column that methods are compared in, as of PLACE or of another table's keys


def difference_rows(scores: Sequence[Scores], form: Form, resamples: int) -> Table:
    """All pairs of methods of each column, by model, percent, target, metric and method."""

    def column(one: Scores) -> tuple:
        return one.model, one.percent, one.target != "person", one.target

    rows: Table = []
    for (model, percent, _, target), group in groupby(sorted(scores, key=column), key=column):
        by_method: dict[str, dict[int, Scores]] = {}
        for one in group:
            by_method.setdefault(one.method, {})[one.seed] = one
        for metric in form.metrics:
            place = {"model": model, "forget_percent": str(percent), "target": target, "metric": metric}
            rows += [
                place
                | {"method": method, "other": other}
                | _difference(metric, by_method[method], by_method[other], resamples)
                for method, other in combinations(in_order(by_method), 2)
            ]
    return rows


def _difference(metric: str, ours: Mapping[int, Scores], theirs: Mapping[int, Scores], resamples: int) -> Row:
    seeds = [seed for seed in sorted(ours.keys() & theirs.keys()) if _has(metric, ours[seed], theirs[seed])]
    if not seeds:
        return {"seeds": "0", "reason": "no seed in which both have a value"}
    sums = [[one[seed].sums.get(metric) for seed in seeds] for one in (ours, theirs)]
    if not all(map(all, sums)):
        value = fmean(ours[seed].metrics[metric].value - theirs[seed].metrics[metric].value for seed in seeds)
        return {"difference": full(value), "seeds": str(len(seeds)), "reason": "scores without sums"}
    try:
        value, low, high, clusters = difference(
            *map(pooled, sums), seed=derive_seed(seeds[0], "bootstrap"), resamples=resamples
        )
    except ValueError as error:
        return {"seeds": str(len(seeds)), "reason": str(error)}
    ends = {"difference": full(value), "low": full(low), "high": full(high)}
    return ends | {"clusters": str(clusters), "seeds": str(len(seeds)), "reason": ""}


def _has(metric: str, *scores: Scores) -> bool:
    return all(metric in one.metrics and full(one.metrics[metric].value) for one in scores)


class Standing:
    """Who is ahead of whom, by the rows of differences; `keys` are those that name a place."""

    def __init__(self, differences: Table, keys: Sequence[str] = PLACE) -> None:
        self._sign: dict[tuple[Place, str, str], int] = {}
        for row in differences:
            place = tuple(row[key] for key in keys)
            if row.get("difference"):
                sign = _sign(row)
                self._sign[place, row["method"], row["other"]] = sign
                self._sign[place, row["other"], row["method"]] = -sign

    def ahead(self, place: Place, method: str, other: str) -> int:
        """1 where the method is ahead of the other, -1 where it is behind, 0 where they are tied or not compared."""
        return self._sign.get((place, method, other), 0)

    def wins(self, place: Place, methods: Sequence[str]) -> list[float]:
        """For each method, how many of the others it is ahead of, ties by half."""
        return [
            sum(0.5 + 0.5 * self.ahead(place, method, other) for other in methods if other != method)
            for method in methods
        ]

    def podium(self, place: Place, values: Mapping[str, float]) -> dict[str, str]:
        """Method -> `best` or `second` of the unlearning methods, from method -> value.

        Those tied with the best share its place, those of the rest tied with the best of the rest the second. Nobody
        has one where all are tied with the best: the column is noise.
        """
        rest = [method for method in values if not is_bound(method)]
        places: dict[str, str] = {}
        for name in ("best", "second"):
            first = max(rest, key=values.__getitem__, default="")
            group = [one for one in rest if one == first or not self.ahead(place, first, one)]
            if name == "best" and len(group) == len(rest) > 1:
                return {}
            places |= dict.fromkeys(group, name)
            rest = [one for one in rest if one not in group]
        return places


def _sign(row: Row) -> int:
    value = float(row["difference"])
    if row.get("low"):
        return (float(row["low"]) > 0) - (float(row["high"]) < 0)
    return 0 if abs(value) < PRINTED else (1 if value > 0 else -1)
