"""Tables of the lifelong benchmark as the pages' templates want them.

A block is {title, caption, heads, rows, footer}; rows and cells are those of `page_tables`. What is no method of its
own is an anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean
from typing import Any

from mmunlearn.reporting.layout import MISSING, Row, Table, distinct, number, select, values
from mmunlearn.reporting.lifelong_curves import at, matrix_tasks, metric_rows
from mmunlearn.reporting.lifelong_drift import MOVED, Line, SetTable
from mmunlearn.reporting.lifelong_gate import PRINTED
from mmunlearn.reporting.lifelong_published import FEWEST, LUMOE
from mmunlearn.reporting.page_runs import duration

MOST = 6  # tasks whose whole matrix is printed; of more, what is left after the last
JUDGED = {"forget": "forget quality", "utility": "utility"}
HALF = 0.5
KNOWS = 0.1  # what one that refuses may still know without a word of it
PageBlock = dict[str, Any]


def _block(
    title: str, caption: str, heads: Iterable[str], rows: list[Row], footer: Iterable[Row] = ()
) -> PageBlock:
    return {"title": title, "caption": caption, "heads": list(heads), "rows": rows, "footer": list(footer)}


def _line(label: str, cells: list[Row], trained: Collection[str] | None = None) -> Row:
    """A row of a block; those that are no methods of their own are set apart."""
    return {"label": label, "anchor": trained is not None and label not in trained, "cells": cells}


def _cell(main: str = "", sub: str = "", place: str = "") -> Row:
    return {"main": main or MISSING, "sub": sub, "place": place}


def _of(row: Row | None, column: str) -> Row:
    """A share with its standard deviation, and its interval below."""
    if not row or not row.get(column):
        return _cell()
    std, low, high = (row.get(f"{column}_{part}", "") for part in ("std", "low", "high"))
    main = _share(row[column]) + (f" ± {_share(std)}" if std else "")
    return _cell(
        main, f"{_share(low)}–{_share(high)}" if low and high else "", row.get(f"{column}_place", "")
    )


def _share(text: str | float) -> str:
    return number(float(text)) if text != "" else ""


def matrix_blocks(rows: Table, trained: Collection[str]) -> list[PageBlock]:
    """Forget quality and utility of every model, a row a method, a column an X-UY."""
    tasks = matrix_tasks(rows[0])
    pairs = [(task, stage) for at_task, task in enumerate(tasks) for stage in tasks[at_task:]]
    if len(tasks) > MOST:
        pairs = [(task, tasks[-1]) for task in tasks]
    columns = [f"{task}-U{stage}" for task, stage in pairs]
    caption = (
        "" if len(tasks) <= MOST else f"After the last of {len(tasks)} tasks; the others are in mlubench.csv."
    )
    return [
        _block(
            f"{model}, {title}",
            caption,
            columns,
            [_line(method, [_of(row, name) for name in columns], trained) for method, row in found.items()],
            [{"label": "Answers", "cells": [_counts(found.values(), name) for name in columns]}],
        )
        for model in values(rows, "model")
        for metric, title in JUDGED.items()
        for found in [metric_rows(select(rows, model=model), metric)]
    ]


def _counts(rows: Iterable[Row], column: str) -> str:
    """Answers behind a column and the entities that they are on; a range where methods differ."""
    parts = []
    for part in ("n", "clusters"):
        parts.append(_span(int(row[f"{column}_{part}"]) for row in rows if row.get(f"{column}_{part}")))
    return f"{parts[0]} on {parts[1]}"


def _span(counts: Iterable[int]) -> str:
    """A count, or the least and the largest of several."""
    known = sorted(set(counts))
    return "–".join(map(str, dict.fromkeys([known[0], known[-1]]))) if known else MISSING


def outcome_blocks(rows: Table, untouched: Table, trained: Collection[str]) -> list[PageBlock]:
    """What has become of every method after the last task, in means over the tasks, and in words."""
    tasks = matrix_tasks(rows[0])
    heads = ("Forget quality", "Still known", "Degenerate", "Utility", "Utility, untouched", "So it")
    blocks = []
    for model in values(rows, "model"):
        by_metric = {
            metric: metric_rows(select(rows, model=model), metric)
            for metric in ("forget", "knows", "degenerate", "utility")
        }
        beside = metric_rows(select(untouched, model=model, entity_class="all"), "utility")
        lines = []
        for method in values(select(rows, model=model), "method"):
            means = [_last_mean(found.get(method), tasks) for found in by_metric.values()]
            cells = [_cell(_share(mean) if mean is not None else "") for mean in means]
            other = beside.get(method, {}).get(f"U{tasks[-1]}", "")
            cells += [_cell(_share(other)), _cell(verdict(*means))]
            lines.append(_line(method, cells, trained))
        title = f"{model}, after task {tasks[-1]}"
        blocks.append(_block(title, "Unweighted means over the tasks.", heads, lines))
    return blocks


def _last_mean(row: Row | None, tasks: Sequence[str]) -> float | None:
    """Mean over the tasks after the last of them; None where one is missing."""
    cells = [at(row, task, tasks[-1]) for task in tasks] if row else [float("nan")]
    mean = fmean(cells)
    return None if mean != mean else mean


def verdict(
    forget: float | None, knows: float | None, degenerate: float | None, utility: float | None
) -> str:
    """In words, by halves: of what a low forget quality comes, what a high one costs, and what it leaves known."""
    if None in (forget, knows, degenerate, utility):
        return ""
    if degenerate > HALF:
        return "collapsed"
    if knows > HALF:
        return "still knows"
    if forget > HALF:
        if knows > KNOWS:
            return f"refuses, but knows {_share(knows)}; {'keeps' if utility > HALF else 'refuses'} the rest"
        return "refuses, and keeps the rest" if utility > HALF else "refuses, the rest as well"
    return "errs" if utility > HALF else "errs, on the rest as well"


def untouched_blocks(rows: Table, trained: Collection[str]) -> list[PageBlock]:
    """Utility on the entities that no task names, after every task."""
    found = select(rows, metric="utility", entity_class="all")
    columns = [name for name in (found[0] if found else {}) if name.startswith("U") and "_" not in name]
    return [
        _block(
            f"{model}, utility on untouched entities",
            "After every task; means of all questions.",
            columns,
            [
                _line(row["method"], [_of(row, name) for name in columns], trained)
                for row in select(found, model=model)
            ],
        )
        for model in values(found, "model")
    ]


def class_blocks(rows: Table, trained: Collection[str]) -> list[PageBlock]:
    """Forget quality by entity class after the last task, with what is still known below."""
    blocks = []
    for model in values(rows, "model"):
        of_model = select(rows, model=model, role="forget")
        tasks, classes = matrix_tasks(of_model[0]), values(of_model, "entity_class")
        lines = []
        for method in values(of_model, "method"):
            cells = []
            for name in classes:
                forget, knows = (
                    _present_mean(select(of_model, method=method, entity_class=name, metric=metric), tasks)
                    for metric in ("forget", "knows")
                )
                cells.append(_cell(forget, f"knows {knows}" if knows else ""))
            lines.append(_line(method, cells, trained))
        title = f"{model}, forget quality by class, after task {tasks[-1]}"
        blocks.append(_block(title, "Means over the tasks that have the class.", classes, lines))
    return blocks


def _present_mean(rows: Table, tasks: Sequence[str]) -> str:
    cells = [row[f"{task}-U{tasks[-1]}"] for row in rows for task in tasks]
    present = [float(cell) for cell in cells if cell]
    return _share(fmean(present)) if present else ""


def gate_blocks(rows: Table) -> list[PageBlock]:
    """Where gates send the pictures of each set, after every task, or after the last of many."""
    heads = [f"{role.capitalize()}: {outcome}" for role, outcome in PRINTED]
    blocks = []
    for model, order in distinct(rows, "model", "order"):
        whole = select(rows, model=model, order=order, entity_class="")
        stages = values(whole, "stage")
        shown = stages if len(stages) <= MOST else stages[-1:]
        lines = []
        for method, stage in distinct(whole, "method", "stage"):
            if stage in shown:
                cells = {row["set"]: row for row in select(whole, method=method, stage=stage)}
                numbers = [_of(cells.get(role), outcome) for role, outcome in PRINTED]
                lines.append(_line(f"{method}, after {stage}", numbers))
        blocks.append(_block(f"{model}, order {order}", "Shares of pictures.", heads, lines))
    return blocks


def drift_blocks(table: SetTable) -> list[PageBlock]:
    """The gap and its changes, then the displacements, of one set."""
    title = f"{table.model}, {table.role} sets, order {table.order}"
    notes = [f"{table.distance.title()} distance. {table.seeds}.", *table.reasons]
    return [
        _block(
            f"{title}: change of the gap", " ".join(notes), table.tasks, list(map(_drift_line, table.gaps))
        ),
        _block(f"{title}: displacement", f"{MOVED}.", table.tasks, list(map(_drift_line, table.moved))),
    ]


def _drift_line(line: Line) -> Row:
    return _line(line.label, [_cell(main, sub) for main, sub in line.cells])


def cost_blocks(rows: Table) -> list[PageBlock]:
    """Optimizer steps of every task with what ended it, then time and size, of the first order."""
    blocks = []
    for model in values(rows, "model"):
        of_model = select(rows, model=model, order=values(select(rows, model=model), "order")[0])
        stages = values(of_model, "stage")
        lines = []
        for method, seed in distinct(of_model, "method", "seed"):
            found = {row["stage"]: row for row in select(of_model, method=method, seed=seed)}
            cells = [_steps(found.get(stage)) for stage in stages]
            last = found.get(stages[-1], {})
            cells.append(_cell(_text(last, "seconds_so_far", duration)))
            cells += [_cell(_text(last, name, _megabytes)) for name in ("adapter_bytes", "memory_bytes")]
            lines.append(_line(f"{method}, seed {seed}", cells))
        heads = [*(f"Steps {stage}" for stage in stages), "Training", "Adapters", "With base"]
        blocks.append(
            _block(f"{model}, cost", "Adapters: files that answer after the last task.", heads, lines)
        )
    return blocks


def _steps(row: Row | None) -> Row:
    return {**_cell(row["steps"], row["stop_reason"]), "words": True} if row else _cell()


def _text(row: Row, column: str, written: Callable[[float], str]) -> str:
    return written(float(row[column])) if row.get(column) else ""


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def order_blocks(rows: Table, trained: Collection[str]) -> list[PageBlock]:
    """Means after the last task by order of tasks, where there are several orders."""
    blocks = []
    for model in values(rows, "model"):
        of_model = select(rows, model=model)
        orders = values(of_model, "order")
        if len(orders) < 2:
            continue
        pairs = [(metric, order) for metric in JUDGED for order in orders]
        lines = []
        for method in values(of_model, "method"):
            at_place = {(row["metric"], row["order"]): row for row in select(of_model, method=method)}
            lines.append(_line(method, [_of(at_place.get(pair), "last") for pair in pairs], trained))
        heads = [f"{JUDGED[metric].capitalize()}, {order}" for metric, order in pairs]
        blocks.append(_block(f"{model}, by order of tasks", "Means after the last task.", heads, lines))
    return blocks


def undo_blocks(rows: Table) -> list[PageBlock]:
    """What is known again of each task when its expert is dropped."""
    heads = ("Answers", "Known before", "With its expert", "Without it")
    return [
        _block(
            f"{model}, order {order}: an expert dropped",
            "Share of forget answers that know.",
            heads,
            [
                _line(
                    f"{row['method']}, seed {row['seed']}, task {row['task']}",
                    [
                        _cell(row["n"]),
                        *(_cell(_share(row[name])) for name in ("before", "with_expert")),
                        _with_ends(row, "without_expert"),
                    ],
                )
                for row in select(rows, model=model, order=order)
            ],
        )
        for model, order in distinct(rows, "model", "order")
    ]


def _with_ends(row: Row, column: str) -> Row:
    low, high = _share(row["low"]), _share(row["high"])
    return _cell(_share(row[column]), f"{low}–{high}" if low and high else "")


def versus_blocks(rows: Table) -> list[PageBlock]:
    """Ours with the published number below, in the columns that the paper has."""
    blocks = []
    for model, twin, metric in distinct(rows, "model", "published_model", "metric"):
        found = select(rows, model=model, published_model=twin, metric=metric)
        columns = [
            name
            for name in values(found, "column")
            if any(row["published"] for row in select(found, column=name))
        ]
        cells = {(row["method"], row["column"]): row for row in found}
        methods = [
            name
            for name in values(found, "method")
            if any(row["published"] for row in select(found, method=name))
        ]
        lines = [
            _line(method, [_versus(cells.get((method, name))) for name in columns]) for method in methods
        ]
        title = f"{model} beside {twin}, {JUDGED[metric]}"
        blocks += [_block(title, "Ours above, published below.", columns, lines)] if columns else []
    return blocks


def _versus(row: Row | None) -> Row:
    return _cell(_share(row["ours"]), _share(row["published"])) if row else _cell()


def rank_blocks(rows: Table, versus: Table) -> list[PageBlock]:
    """Rank correlations of methods by column, ours with each published model and the paper's with each other, of as
    many methods as have an order; their names are those of `versus`."""
    rows = [row for row in rows if int(row["n"]) >= FEWEST]
    keys = ("whose", "model", "published_model", "metric", "methods")
    columns = values([row for row in rows if row["spearman"]], "column")
    lines = []
    for key in distinct(rows, *keys):
        found = select(rows, **dict(zip(keys, key, strict=True)))
        whose, model, twin, metric, methods = key
        cells = {row["column"]: _share(row["spearman"]).replace("-", "−") for row in found}
        counts = _span(int(row["n"]) for row in found)
        label = f"{model} and {twin}, {JUDGED[metric]}, {methods} ({counts})"
        lines.append(
            _line(label, [_cell(cells.get(name, "")) for name in columns]) | {"anchor": whose == "paper"}
        )
    both = sorted(values([row for row in versus if row["ours"] and row["published"]], "method"))
    caption = f"In parentheses how many; baselines: {', '.join(one for one in both if one != LUMOE)}; "
    caption += f"all: with {LUMOE}."
    return [_block("Rank ρ of methods", caption, columns, lines)] if columns else []
