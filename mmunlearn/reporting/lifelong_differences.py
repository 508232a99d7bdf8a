"""By how much two methods differ in a cell of the matrix, paired over the same entities, and who is best.

A row of `mlubench_differences.csv` is a pair of methods in one column: `difference` is method minus other, over the
seeds that both have; `low`, `high` its 95% interval over entities; `clusters` how many those are. What another seed of
training would change is not in it. Two methods are tied where the interval holds 0, as it always does on fewer than six
entities: there the matrix says `undecidable`. `missing_pictures` as in mlubench.csv; `digest`: of all inputs of both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, groupby

from mmunlearn.evaluation.intervals import FEW, difference, pooled
from mmunlearn.lifelong.scores import ALL
from mmunlearn.records import digest_of
from mmunlearn.reporting.differences import Standing
from mmunlearn.reporting.layout import Row, Table, distinct, full, number, select
from mmunlearn.reporting.lifelong_cells import Column, Group, names_of
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import Role

DIGITS = 3  # of a value, as it is printed in the paper
KEYS = ("model", "metric", "column")
DIFFERENCE_COLUMNS = (
    *(*KEYS, "method", "other", "difference", "low", "high", "clusters", "seeds"),
    *("missing_pictures", "digest", "reason"),
)
JUDGED: tuple[tuple[Role, str], ...] = (("forget", "forget"), ("retain", "utility"))


def difference_rows(found: Sequence[Group], columns: Sequence[Column], resamples: int) -> Table:
    """All pairs of methods of each model, judged metric and column."""
    rows: Table = []
    for model, of_model in groupby(found, lambda group: group[0].model):
        pairs = list(combinations(of_model, 2))
        for role, metric in JUDGED:
            for column in columns:
                place = (column.task, role, column.stage, metric, ALL)
                rows += [
                    {"model": model, "metric": metric, "column": column.name}
                    | {"method": ours[0].label, "other": theirs[0].label}
                    | {"digest": digest_of([one.digests for one in (*ours, *theirs)])}
                    | _difference(ours, theirs, place, resamples)
                    for ours, theirs in pairs
                ]
    return rows


def _difference(ours: Group, theirs: Group, place: tuple[str, ...], resamples: int) -> Row:
    sums = [
        {one.seed: {"": one.at[place].sums} for one in group if place in one.at and one.at[place].sums}
        for group in (ours, theirs)
    ]
    seeds = sorted(sums[0].keys() & sums[1].keys())
    if not seeds:
        return {"seeds": "0", "reason": "no seed in which both have a value"}
    both = [pooled(of_group[seed] for seed in seeds) for of_group in sums]
    try:
        value, low, high, clusters = difference(
            *both, seed=derive_seed(seeds[0], "bootstrap"), resamples=resamples, ends=(-1.0, 1.0)
        )
    except ValueError as error:
        return {"seeds": str(len(seeds)), "reason": str(error)}
    ends = {"difference": full(value), "low": full(low), "high": full(high)}
    return ends | {"clusters": str(clusters), "seeds": str(len(seeds)), "reason": ""}


def standing_of(differences: Table) -> Standing:
    """Who is ahead of whom, by model, metric and column."""
    return Standing(differences, KEYS)


def with_places(
    rows: Table, columns: Sequence[Column], standing: Standing, references: Collection[str]
) -> Table:
    """The rows with `<column>_place`, of the methods, not of references (labels):

    - `best`: the highest value, and all that are printed like it; nobody where all methods are;
    - `tied`: lower, but not behind the best beyond the interval of their difference;
    - `undecidable`: lower, on fewer than six entities, on which none can be behind.
    """
    places: dict[tuple[str, ...], str] = {}
    for model, metric in distinct(rows, "model", "metric"):
        methods = [row for row in select(rows, model=model, metric=metric) if row["method"] not in references]
        for column in names_of(columns) if metric in dict(JUDGED).values() else ():
            values = {row["method"]: float(row[column]) for row in methods if row[column]}
            few = any(int(row[f"{column}_clusters"]) < FEW for row in methods if row[column])
            for method, place in _places((model, metric, column), values, standing, few).items():
                places[model, metric, column, method] = place
    return [
        row
        | {
            f"{column}_place": places.get((row["model"], row["metric"], column, row["method"]), "")
            for column in names_of(columns)
        }
        for row in rows
    ]


def _places(
    place: tuple[str, ...], values: Mapping[str, float], standing: Standing, few: bool
) -> dict[str, str]:
    """Method -> `best`, and `tied`, or `undecidable` where entities are `few`."""
    printed = {method: number(value, DIGITS) for method, value in values.items()}
    if len(set(printed.values())) < 2:
        return {}
    first = max(values, key=values.__getitem__)
    word = "undecidable" if few else "tied"
    tied = {method: word for method in values if not standing.ahead(place, first, method)}
    return tied | {method: "best" for method, text in printed.items() if text == printed[first]}
