"""Representation drift as a table: the modality gap before and after unlearning, beside MLUBench's.

Columns of `representation_drift.csv`; gaps are lengths in the model's own space and compare within a model alone:

- `model, task, original, unlearned, delta_gap`: as published, means over seeds, the change with its sign;
- `method`; `order` of the tasks; `set`: the task's forget or retain questions;
- `after`: the task unlearned last, or `expert A`, LUMoE's of that task, or `base`, to which its gate sends the rest and
  which does not move: the interval of its change, 0 to 0, is not printed;
- `distance`: of centroids, see `lifelong.centroids`;
- `std` of the change over seeds; `low`, `high`: its 95% interval over entities, with several seeds the mean of their
  ends;
- `picture`, `text`: displacement: how far each centroid is from where it was;
- `n`, `entities`: questions over all seeds, and the entities that they are on; `seeds`, `seed_list`;
- `missing_pictures` as in mlubench.csv; `digest`: of all inputs;
- `published_model`, `published_original`, `published_unlearned`, `published_delta_gap`: of the task of that name, of
  our model if the paper has it; which method and which questions it is of, the slides do not say;
- `reason`: why a number is missing, or of which seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from mmunlearn import escape
from mmunlearn.lifelong.drift_rows import SETS, Drift, SetDrift
from mmunlearn.lifelong.statistics import TaskStatistics
from mmunlearn.records import digest_of, read_json, write_text
from mmunlearn.reporting.layout import (
    MISSING,
    Row,
    Table,
    distinct,
    full,
    number,
    read_table,
    select,
    training_seeds,
    values,
    write_table,
)
from mmunlearn.reporting.lifelong_missing import missing_note, missing_pictures
from mmunlearn.reporting.tables import TableError
from mmunlearn.reporting.typeset import grid

PUBLISHED = ("original", "unlearned", "delta_gap")
COLUMNS = (
    "model", "task", *PUBLISHED, "method", "order", "set", "after", "distance", "std", "low", "high", "picture", "text",
    "n", "entities", "seeds", "seed_list", "missing_pictures", "digest", "published_model",
    *(f"published_{name}" for name in PUBLISHED), "reason",
)  # fmt: skip
BLOCK = ("model", "order", "distance", "set")
BASE, EXPERT = "base", "expert "
MOVED = "How far the centroids of pictures / texts have moved"
CAPTION = (
    "The modality gap is the distance between the centroids of the last hidden states at picture tokens and at text "
    "tokens, over a task's test questions. The paper gives no formula; this is ours. Below a change stands its 95% "
    "interval over entities; where it holds 0, no change is shown. Lengths of two models do not compare, and "
    "neither the sign nor the size of a change tells methods apart: how far each centroid has moved does more."
)


def make_representation_drift(
    csv: Path,
    md: Path,
    *,
    drifts: Sequence[Path],
    statistics: Path,
    labels: Mapping[str, str],
    published: Path,
) -> None:
    """Write the table as data and to read.

    Args:
        drifts: Drift files, one a sequence; their order is that of the methods.
        statistics: of the tasks.
        labels: method -> label.
        published: the paper's, of one model.

    Raises:
        RecordError: a file is no Drift.
        TableError: a sequence comes twice.
    """
    common = missing_pictures(read_json(statistics, TaskStatistics))
    rows = drift_rows([read_json(path, Drift) for path in drifts], labels, read_table(published))
    rows = [row | common for row in rows]
    write_table(csv, COLUMNS, rows)
    write_text(md, markdown(rows))


def drift_rows(drifts: Iterable[Drift], labels: Mapping[str, str], published: Table) -> Table:
    """A row a (model, method, order, set, task, stage), pooled over seeds."""

    def place(one: Drift) -> tuple:
        return one.model, one.method, one.order

    ordered = list(drifts)
    first = {place(one): at for at, one in reversed(list(enumerate(ordered)))}
    ordered.sort(key=lambda one: (first[place(one)], one.seed))
    return [
        row
        for (_, method, _), group in groupby(ordered, key=place)
        for row in _rows(list(group), labels[method], published)
    ]


def _rows(group: Sequence[Drift], label: str, published: Table) -> Table:
    seeds, one = [drift.seed for drift in group], group[0]
    if len(set(seeds)) < len(seeds):
        raise TableError(
            f"Asked for one drift a seed of {label}, {one.order}, of {one.model}. Found seeds {seeds}. Pass each file "
            "once."
        )
    common = {"model": one.model, "method": label, "order": one.order, "distance": one.distance}
    common |= {"seeds": str(len(seeds)), "seed_list": " ".join(map(str, seeds))}
    common |= {"digest": digest_of([drift.digests for drift in group])}
    at = {drift.seed: {(row.role, row.task, row.after): row for row in drift.sets} for drift in group}
    keys = dict.fromkeys(key for found in at.values() for key in found)
    return [
        common
        | {"set": role, "task": task, "after": _after(after, one.experts)}
        | _pooled({seed: found.get((role, task, after)) for seed, found in at.items()})
        | _twin(one.model, task, published)
        for role, task, after in sorted(keys, key=lambda key: SETS.index(key[0]))
    ]


def _after(stage: str, experts: bool) -> str:
    if not stage:
        return BASE
    return f"{EXPERT}{stage}" if experts else stage


def _pooled(found: Mapping[int, SetDrift | None]) -> Row:
    """Means over the seeds that have a value, and why others have none."""
    present = [row for row in found.values() if row]
    parts = {
        name: [value for row in present if (value := getattr(row, name)) is not None]
        for name in ("original", "unlearned", "change", "low", "high", "picture", "text")
    }
    row = {name: full(fmean(numbers)) if numbers else "" for name, numbers in parts.items()}
    row["delta_gap"] = row.pop("change")
    row["std"] = full(stdev(parts["change"])) if len(parts["change"]) > 1 else ""
    row["n"] = str(sum(row.n for row in present))
    row["entities"] = str(max((row.entities for row in present), default=0))
    reasons = {seed: row.reason if row else "not measured" for seed, row in found.items()}
    if len(set(reasons.values())) == 1:
        return row | {"reason": next(iter(reasons.values()))}
    return row | {"reason": "; ".join(f"seed {seed}: {why}" for seed, why in reasons.items() if why)}


def _twin(model: str, task: str, published: Table) -> Row:
    """The published numbers of a task, of our model if it is among them."""
    models = values(published, "model")
    name = model if model in models else next(iter(models), "")
    row = next(iter(select(published, model=name, task=task)), None)
    cells = {f"published_{part}": row[part] if row else "" for part in PUBLISHED}
    return {"published_model": name if row else "", **cells}


class Line(NamedTuple):
    """A line of a printed table: what it is of, and a cell a task: the number, and the small print below it."""

    label: str
    cells: list[tuple[str, str]]


class SetTable(NamedTuple):
    """One model's forget or retain sets: columns are tasks, lines are the gap before and its changes by method."""

    model: str
    order: str
    distance: str
    role: str
    seeds: str
    tasks: list[str]
    gaps: list[Line]
    moved: list[Line]
    reasons: list[str]


def set_tables(rows: Table) -> list[SetTable]:
    """The tables that are printed; of the stages, each task's own and the last."""
    return [_set_table(select(rows, **dict(zip(BLOCK, key, strict=True)))) for key in distinct(rows, *BLOCK)]


def _set_table(rows: Table) -> SetTable:
    first, tasks = rows[0], values(rows, "task")
    methods = values(rows, "method")
    shown = [
        (label, found) for method in methods for label, found in _stages(select(rows, method=method), tasks)
    ]
    before = {row["task"]: row for row in reversed(rows) if row["original"]}
    gaps = [Line("Gap before", [_plain(before.get(task), "original") for task in tasks])]
    gaps += [Line(label, [_change(found.get(task)) for task in tasks]) for label, found in shown]
    for twin in filter(None, values(rows, "published_model")):
        paper = {row["task"]: row for row in select(rows, published_model=twin)}
        gaps += [
            Line(
                f"{twin}, published: before",
                [_plain(paper.get(task), "published_original") for task in tasks],
            ),
            Line(
                f"{twin}, published: change",
                [_signed(paper.get(task), "published_delta_gap") for task in tasks],
            ),
        ]
    moved = [Line(label, [_moved(found.get(task)) for task in tasks]) for label, found in shown]
    reasons = [_reason(why, rows) for why in filter(None, values(rows, "reason"))]
    seeds = training_seeds(rows)
    return SetTable(*(first[name] for name in BLOCK), seeds, tasks, gaps, moved, reasons)


def _stages(rows: Table, tasks: Sequence[str]) -> Iterator[tuple[str, dict[str, Row]]]:
    """What is shown of a method: after each task itself and after the last; of experts, each one's, and the base."""
    method = rows[0]["method"]
    at = {(row["after"], row["task"]): row for row in rows}
    shown = {
        f"{method}, after the task itself": lambda task: task,
        f"{method}, after task {tasks[-1]}": lambda task: tasks[-1],
        f"{method}, the task's expert": lambda task: f"{EXPERT}{task}",
        f"{method}, left to the base": lambda task: BASE,
    }
    for label, after in shown.items():
        found = {task: at[after(task), task] for task in tasks if (after(task), task) in at}
        if found:
            yield label, found


def _reason(why: str, rows: Table) -> str:
    """Why some rows lack a number: the tasks all of whose do, or which is the first of them, and how many they are."""
    found = select(rows, reason=why)
    tasks = values(found, "task")
    if len(found) == sum(len(select(rows, task=task)) for task in tasks):
        where = f"task{'s' if len(tasks) > 1 else ''} {', '.join(tasks)}"
    else:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        where = "{method}, task {task} after {after}".format_map(found[0]) + f"{more}, of {len(rows)} rows"
    return f"{why[:1].upper()}{why[1:]}: {where}."


def _plain(row: Row | None, name: str) -> tuple[str, str]:
    return (_number(row[name]) if row and row[name] else MISSING), ""


def _change(row: Row | None) -> tuple[str, str]:
    if not row or not row["delta_gap"]:
        return MISSING, ""
    sub = f"{_number(row['low'])} to {_number(row['high'])}" if row["low"] != row["high"] else ""
    return _signed(row, "delta_gap")[0], sub


def _signed(row: Row | None, name: str) -> tuple[str, str]:
    text, sub = _plain(row, name)
    return text if text[0] in f"−{MISSING}" else f"+{text}", sub


def _moved(row: Row | None) -> tuple[str, str]:
    return (f"{_number(row['picture'])} / {_number(row['text'])}" if row and row["picture"] else MISSING), ""


def _number(text: str) -> str:
    return number(float(text), 3).replace("-", "−")


def markdown(rows: Table) -> str:
    """A part a model and set: tasks in columns, the gap before, its changes, what the paper has, displacements."""
    parts = ["# Representation drift", " ".join(filter(None, [CAPTION, missing_note(rows)]))]
    for block in set_tables(rows):
        parts.append(
            f"## {escape.markdown(block.model)}, {block.role} sets, order {block.order}, {block.distance} distance"
        )
        parts.append(f"{block.seeds}.")
        for title, lines in (("Change of the gap", block.gaps), (MOVED, block.moved)):
            parts.append(grid([title, *block.tasks], [_cells(line) for line in lines]))
        if block.reasons:
            parts.append(
                "Missing values:\n\n" + "\n".join(f"- {escape.markdown(one)}" for one in block.reasons)
            )
    return "\n\n".join(parts) + "\n"


def _cells(line: Line) -> list[str]:
    return [
        escape.markdown(line.label),
        *(main + (f" <sub>{sub}</sub>" if sub else "") for main, sub in line.cells),
    ]
