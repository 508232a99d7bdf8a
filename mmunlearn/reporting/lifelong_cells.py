"""Cells of lifelong scores as rows of tables: X-UY columns, pooled over seeds.

Of a column `A-UB` (task A after unlearning task B) or `UB` (the untouched entities after B), a row has

- the value, in [0, 1] as MLUBench prints it: the mean over seeds;
- `_std`: sample standard deviation over seeds, empty with one;
- `_low`, `_high`: 95% interval over entities; with several seeds the mean of their ends, hence the width at one seed;
- `_n`, `_missing`: answers behind the value and those without a rating, summed over seeds;
- `_left_out`: test questions that the model could not answer before, and was not asked; the same for all seeds;
- `_clusters`: entities that the questions are on;

and at its end `seeds`, `seed_list`, `judge`, `missing_pictures` (how many of all pictures of the tasks are not there:
their questions are in no count), `digest` (of all inputs) and `reason`: why a cell is empty, or of which seeds it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from mmunlearn.lifelong.scores import ALL, Cell, StageScores
from mmunlearn.records import digest_of
from mmunlearn.reporting.layout import Row, join_reasons
from mmunlearn.reporting.tables import TableError, pooled
from mmunlearn.tasks import Role

PARTS = ("std", "low", "high", "n", "missing", "left_out", "clusters")
LAST = ("seeds", "seed_list", "judge", "missing_pictures", "digest", "reason")
Group = Sequence[StageScores]  # the seeds of one model, method and order


class Column(NamedTuple):
    """Task X after unlearning task Y; the untouched entities where X is empty."""

    task: str
    stage: str

    @property
    def name(self) -> str:
        """X-UY, or UY."""
        return f"{self.task}-U{self.stage}" if self.task else f"U{self.stage}"


def task_columns(tasks: Sequence[str]) -> list[Column]:
    """The matrix's columns, in the paper's order: all of A, all of B, ..."""
    return [Column(task, stage) for at, task in enumerate(tasks) for stage in tasks[at:]]


def untouched_columns(tasks: Sequence[str]) -> list[Column]:
    """The untouched entities after every task."""
    return [Column("", stage) for stage in tasks]


def names_of(columns: Sequence[Column]) -> list[str]:
    """As they are called in tables."""
    return [column.name for column in columns]


def header(first: Sequence[str], names: Sequence[str], parts: Sequence[str] = PARTS) -> tuple[str, ...]:
    """The columns of a CSV file: keys, values, parts of the values, and what the row rests on."""
    return (*first, *names, *(f"{name}_{part}" for name in names for part in parts), *LAST)


def groups(scores: Iterable[StageScores], labels: Mapping[str, str]) -> list[Group]:
    """The seeds of each model, method and order, methods in the order of their labels.

    Args:
        labels: method -> label, in the order of tables.

    Raises:
        TableError: a seed comes twice.
    """
    known = list(labels)

    def place(one: StageScores) -> tuple:
        at = known.index(one.method) if one.method in known else len(known)
        return one.model, at, one.method, one.order

    found = [
        list(group) for _, group in groupby(sorted(scores, key=lambda one: (*place(one), one.seed)), place)
    ]
    rows = [(group[0].model, group[0].label, group[0].order) for group in found]
    for group, row in zip(found, rows, strict=True):
        seeds = [one.seed for one in group]
        if len(set(seeds)) < len(seeds) or rows.count(row) > 1:
            raise TableError(
                f"Asked for one file of scores a seed of {row[1]}, {row[2]}, of {row[0]}. Found seeds {seeds} of "
                f"{group[0].method}, and {rows.count(row)} methods of that label. Pass each file once, and give each "
                "row of lifelong.methods and lifelong.lumoe a label of its own."
            )
    return found


def row_of(group: Group, columns: Sequence[Column], role: Role, metric: str, entity_class: str = ALL) -> Row:
    """One metric of one method over the columns, pooled over seeds."""
    cells = {
        column.name: {
            one.seed: one.at.get((column.task, role, column.stage, metric, entity_class)) for one in group
        }
        for column in columns
    }
    return {"metric": metric} | pooled_row(group, cells)


def pooled_row(group: Group, cells: Mapping[str, Mapping[int, Cell | None]]) -> Row:
    """Cells by column and seed as a row, with whose they are and what they rest on."""
    row: Row = {"model": group[0].model, "method": group[0].label}
    for name, of_seeds in cells.items():
        row |= _pooled(name, [cell for cell in of_seeds.values() if cell])
    reasons = {name: why for name, of_seeds in cells.items() if (why := _reason(of_seeds))}
    return row | {
        "seeds": str(len(group)),
        "seed_list": " ".join(str(one.seed) for one in group),
        "judge": ", ".join(sorted({one.judge for one in group})),
        "digest": digest_of([one.digests for one in group]),
        "reason": join_reasons(reasons),
    }


def _pooled(name: str, cells: Sequence[Cell]) -> Row:
    parts = pooled([cell for cell in cells if cell.value is not None])
    value = parts.pop("value")
    parts["missing"] = str(sum(cell.missing for cell in cells))
    parts["left_out"] = str(max((cell.left_out for cell in cells), default=0))
    return {name: value, **{f"{name}_{part}": text for part, text in parts.items()}}


def _reason(cells: Mapping[int, Cell | None]) -> str:
    """Why a cell is empty, or rests on some of the seeds."""
    reasons = {
        seed: cell.reason if cell else "no question of this class"
        for seed, cell in cells.items()
        if cell is None or cell.value is None
    }
    if len(reasons) == len(cells) and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return ", ".join(f"seed {seed} left out ({why})" for seed, why in reasons.items())
