"""Where gates send pictures, as a table: one row a (model, method, order, stage, set, class).

Columns of `lifelong_gate.csv`:

- `method`, `gate`: a row of `lifelong.lumoe` that has a gate, and which; `stage`: the task forgotten last;
- `set`: forget, retain (of the tasks so far), untouched or stranger; `entity_class`: empty for all of the set;
- `right`, `wrong`, `base`: shares of pictures, in [0, 1], that go to their own task's expert, to another one, to the
  base; mean over seeds. Of all but forget pictures none is right: `wrong` is any expert, `base` as it should be;
- `<outcome>_low`, `_high`: 95% interval over entities, with several seeds the mean of their ends; `_std`: sample
  standard deviation over seeds, empty with one;
- `n`, `clusters`: pictures, summed over seeds, and the entities that they show; `unusable`: pictures on which the base
  answers because the gate had no reply that could be used;
- `seeds`, `seed_list`; `missing_pictures` as in mlubench.csv; `digest`: of all inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from mmunlearn import escape
from mmunlearn.lifelong.gate_accuracy import OUTCOMES, GateRow, gate_rows
from mmunlearn.lifelong.routing import Route
from mmunlearn.lifelong.scores import ALL
from mmunlearn.lifelong.statistics import TaskStatistics
from mmunlearn.records import digest_of, read_json, read_jsonl, sha256_of, write_text
from mmunlearn.reporting.layout import MISSING, Row, Table, distinct, number, select, values, write_table
from mmunlearn.reporting.lifelong_missing import missing_note, missing_pictures
from mmunlearn.reporting.tables import TableError, pooled
from mmunlearn.reporting.typeset import grid
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import TaskQuestion, TaskSequence

PARTS = ("low", "high", "std")
COLUMNS = (
    "model", "method", "gate", "order", "stage", "set", "entity_class", *OUTCOMES,
    *(f"{outcome}_{part}" for outcome in OUTCOMES for part in PARTS), "n", "clusters", "unusable", "seeds", "seed_list",
    "missing_pictures", "digest",
)  # fmt: skip
PRINTED = [
    ("forget", "right"),
    ("forget", "wrong"),
    ("forget", "base"),
    ("retain", "base"),
    ("untouched", "base"),
    ("stranger", "base"),
]
"""Sets and outcomes of the printed table; what is left of all but forget goes to some expert."""
BEST_CASE = (
    "Forget, retain and untouched entities were chosen because the base knows them, wherever tasks are drawn or "
    "lifelong.known_only holds: the gate's accuracy on them is its best case. Strangers are people whom the base does "
    "not know."
)
EXPLAINED = (
    "Shares of pictures, not of questions. Forget: sent to their own task's expert (right), to another one (wrong), "
    "or to the base, which still knows. Retain, untouched and stranger: to the base, as they should be; all others "
    f"go to some expert, which mostly refuses. {BEST_CASE} Small print: 95% interval over entities."
)


def make_lifelong_gate(
    *,
    routes: Sequence[Path],
    questions: Sequence[Path],
    statistics: Path,
    csv: Path,
    md: Path,
    orders: Mapping[str, Sequence[str]],
    labels: Mapping[str, str],
    gates: Mapping[str, str],
    bootstrap: int,
) -> None:
    """Write the table as data and to read.

    Args:
        routes: `<model>/<method>/<order>/seed-<n>/<task>/routes.jsonl`, in any order.
        questions: `<model>/questions.jsonl` of every model; statistics: of the tasks.
        orders: name -> tasks, in the order of tables; labels: method -> label, likewise; gates: method -> gate.
        bootstrap: resamples of the intervals.

    Raises:
        TableError: a model's questions are not there.
    """
    of_model = {path.parent.name: path for path in questions}
    methods, names = list(labels), list(orders)

    def place(path: Path) -> tuple:
        one = TaskSequence.of(path)
        if one.model not in of_model:
            raise TableError(
                f"Asked for the questions of {one.model}, whose routes are {path}. Found those of "
                f"{', '.join(of_model) or 'no model'}. Name its questions.jsonl."
            )
        stage = list(orders[one.order]).index(path.parent.name)
        return one.model, methods.index(one.method), names.index(one.order), stage

    def ordered(path: Path) -> tuple:
        return *place(path), TaskSequence.of(path).seed

    rows: Table = []
    for (model, *_), group in groupby(sorted(routes, key=ordered), place):
        paths = list(group)
        method = TaskSequence.of(paths[0]).method
        rows += _stage_rows(of_model[model], paths, bootstrap, labels[method], gates[method])
    common = missing_pictures(read_json(statistics, TaskStatistics))
    rows = [row | common for row in rows]
    write_table(csv, COLUMNS, rows)
    write_text(md, markdown(rows))


def _stage_rows(questions: Path, routes: Sequence[Path], bootstrap: int, label: str, gate: str) -> Table:
    """The rows of one stage, pooled over seeds: a file of routes each, sorted by seed."""
    known = {row.question_id: row for row in read_jsonl(questions, TaskQuestion)}
    by_seed = {
        seed: gate_rows(
            read_jsonl(path, Route), known, seed=derive_seed(seed, "bootstrap"), resamples=bootstrap
        )
        for path in routes
        for seed in [TaskSequence.of(path).seed]
    }
    sequence = TaskSequence.of(routes[0])
    common = {
        "model": sequence.model, "method": label, "gate": gate, "order": sequence.order,
        "stage": routes[0].parent.name, "seeds": str(len(by_seed)), "seed_list": " ".join(map(str, by_seed)),
        "digest": digest_of([sha256_of(path) for path in (questions, *routes)]),
    }  # fmt: skip
    return [common | _cells(sets) for sets in zip(*by_seed.values(), strict=True)]


def _cells(sets: Sequence[GateRow]) -> Row:
    """One set of pictures, pooled over seeds."""
    row = {
        "set": sets[0].role,
        "entity_class": sets[0].entity_class,
        "unusable": str(sum(one.unusable for one in sets)),
    }
    for outcome in sets[0].shares:
        parts = pooled([one.shares[outcome] for one in sets])
        row |= {outcome: parts["value"], **{f"{outcome}_{part}": parts[part] for part in PARTS}}
        row |= {part: parts[part] for part in ("n", "clusters")}
    return row


def markdown(rows: Table) -> str:
    """A part a model and an order: methods and stages by sets; then the last stage by class."""
    if not rows:
        return "# Gates\n\nNo row of `lifelong.lumoe` has a gate.\n"
    parts = ["# Gates", " ".join(filter(None, [EXPLAINED, missing_note(rows)]))]
    for model, order in distinct(rows, "model", "order"):
        of_order = select(rows, model=model, order=order)
        parts.append(f"## {escape.markdown(model)}, {escape.markdown(order)}")
        whole = select(of_order, entity_class=ALL)
        parts.append(_grid("Method, after task", whole, distinct(whole, "method", "stage")))
        last = select(of_order, stage=values(of_order, "stage")[-1])
        classes = [row for row in last if row["entity_class"] != ALL]
        if classes:
            parts.append(f"After task {escape.markdown(last[0]['stage'])}, by class:")
            parts.append(
                _grid("Method, class", classes, distinct(classes, "method", "entity_class"), "entity_class")
            )
    return "\n\n".join(parts) + "\n"


def _grid(first: str, rows: Table, keys: Sequence[tuple[str, str]], second: str = "stage") -> str:
    heads = [f"{role.title()}: {outcome}" for role, outcome in PRINTED]
    lines = []
    for method, value in keys:
        cells = {row["set"]: row for row in select(rows, **{"method": method, second: value})}
        shown = [_display(cells.get(role), outcome) for role, outcome in PRINTED]
        lines.append([escape.markdown(f"{method}, {value}"), *shown])
    return grid([first, *heads], lines)


def _display(row: Row | None, outcome: str) -> str:
    if row is None or not row.get(outcome):
        return MISSING
    value, low, high = (number(float(row[name])) for name in (outcome, f"{outcome}_low", f"{outcome}_high"))
    return f"{value} <sub>{low} to {high}</sub>"
