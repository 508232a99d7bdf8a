"""MLUBench's Tables 2 and 23 and what stands beside them, from the scores of all sequences.

- `mlubench.csv`: forget, utility, knows and degenerate of every method in every X-UY, in the first order of tasks;
- `lifelong_untouched.csv`: utility, knows and degenerate on entities that no task names, after every task;
- `lifelong_classes.csv`: the matrix by entity class; `all` is that of mlubench.csv, `mean of classes` takes classes
  alike, however many questions they have. Names of people fall where things do not;
- `lifelong_orders.csv`: forget and utility of every order, as means over the `last` stage's columns and over `all`
  columns of the matrix, each column alike.

For columns see `reporting.lifelong_cells`; of the others `lifelong_differences`, `lifelong_published` and
`lifelong_cost`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.evaluation.intervals import clusters_of, interval, mean
from mmunlearn.lifelong.memory import Memory
from mmunlearn.lifelong.scores import ALL, MACRO, METRICS, Cell, StageScores
from mmunlearn.lifelong.statistics import TaskStatistics
from mmunlearn.records import RecordError, read_json, write_text
from mmunlearn.reporting.layout import Row, Table, read_table, write_table
from mmunlearn.reporting.lifelong_cells import (
    PARTS,
    Column,
    Group,
    groups,
    header,
    names_of,
    pooled_row,
    row_of,
    task_columns,
    untouched_columns,
)
from mmunlearn.reporting.lifelong_cost import (
    COST_COLUMNS,
    UNDO_COLUMNS,
    cost_rows,
    read_trainings,
    steps_notes,
    undo_rows,
)
from mmunlearn.reporting.lifelong_differences import (
    DIFFERENCE_COLUMNS,
    JUDGED,
    difference_rows,
    standing_of,
    with_places,
)
from mmunlearn.reporting.lifelong_missing import missing_pictures
from mmunlearn.reporting.lifelong_notes import cautions
from mmunlearn.reporting.lifelong_published import RANK_COLUMNS, VERSUS_COLUMNS, rank_rows, versus_rows
from mmunlearn.reporting.lifelong_typeset import latex, markdown
from mmunlearn.reporting.tables import TableError
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import Role, TaskSequence

FIRST = ("model", "method", "metric")
CLASSES = (*FIRST, "role", "entity_class")
ORDERS = ("model", "method", "order", "metric")
PRINTED: tuple[tuple[Role, str], ...] = (*JUDGED, ("forget", "knows"), ("forget", "degenerate"))


def make_mlubench(
    outputs: Mapping[str, Path],
    *,
    scores: Sequence[Path],
    trainings: Sequence[Path],
    experts: Sequence[Path],
    adapters: Sequence[Path],
    memory: Sequence[Path],
    undo: Sequence[Path],
    before: Sequence[Path],
    statistics: Path,
    published: Path,
    order: str,
    labels: Mapping[str, str],
    references: Sequence[str],
    bootstrap: int,
) -> None:
    """Write all tables of scores and costs.

    Args:
        outputs: csv, md, tex, differences, versus, ranks, untouched, classes, orders, cost, undo.
        scores: of all sequences, in any order.
        trainings, experts: training.json of every stage, and of every expert; adapters: their weights.
        memory, undo: of every row of experts.
        before: the base's answers, of every model.
        statistics: of the tasks.
        published: Tables 2 and 23.
        order: the one that mlubench.csv shows.
        labels: method -> label, in the order of tables.
        references: methods that are none, but what the others are compared with.
        bootstrap: resamples of intervals.

    Raises:
        RecordError: a file is no StageScores, or of another sequence than its path says.
        TableError: two files hold the same cell, or none is of that order.
    """
    every = groups(map(read_stage_scores, scores), labels)
    found = [group for group in every if group[0].order == order]
    if not found:
        raise TableError(
            f"Asked for the matrix of order {order}. Found scores of {len(scores)} sequences, none of it. Name a row "
            "in lifelong.methods or lifelong.lumoe, and a model in models."
        )
    common = missing_pictures(read_json(statistics, TaskStatistics))
    held = {TaskSequence.of(path): read_json(path, Memory) for path in memory}
    stages, of_experts = (read_trainings(paths, adapters) for paths in (trainings, experts))
    costs = cost_rows(every, stages, of_experts, held, references)
    never = dict.fromkeys(group[0].label for group in found if group[0].method in references)
    _write_matrix(
        outputs, found, read_table(published), list(never), common, steps_notes(costs, order), bootstrap
    )
    for name, columns, roles in (
        ("untouched", untouched_columns(found[0][0].tasks), ("untouched",)),
        ("classes", task_columns(found[0][0].tasks), ("forget", "retain")),
    ):
        rows = class_rows(found, columns, roles, common)
        write_table(outputs[name], header(CLASSES, names_of(columns)), rows)
    write_table(outputs["orders"], header(ORDERS, ("last", "all")), order_rows(every, bootstrap, common))
    write_table(outputs["cost"], COST_COLUMNS, [row | common for row in costs])
    bases = {path.parent.name: path for path in before}
    undone = undo_rows(every, {TaskSequence.of(path): path for path in undo}, bases, references, bootstrap)
    write_table(outputs["undo"], UNDO_COLUMNS, [row | common for row in undone])


def _write_matrix(
    outputs: Mapping[str, Path],
    found: Sequence[Group],
    published: Table,
    references: Sequence[str],
    common: Row,
    notes: Mapping[str, list[str]],
    bootstrap: int,
) -> None:
    """The matrix as data, to read and to paste, and its differences; `references` are labels."""
    columns = task_columns(found[0][0].tasks)
    pairs = difference_rows(found, columns, bootstrap)
    standing = standing_of(pairs)
    rows = [row_of(group, columns, role, metric) | common for group in found for role, metric in PRINTED]
    rows = with_places(rows, columns, standing, references)
    comparison = versus_rows(rows, published, names_of(columns))
    ranks = rank_rows(comparison, standing, published)
    write_table(outputs["csv"], header(FIRST, names_of(columns), (*PARTS, "place")), rows)
    said = {**notes, "": cautions(standing, pairs, ranks)}
    write_text(outputs["md"], markdown(rows, columns, references, said))
    write_text(outputs["tex"], latex(rows, columns, references))
    write_table(outputs["differences"], DIFFERENCE_COLUMNS, [row | common for row in pairs])
    write_table(outputs["versus"], VERSUS_COLUMNS, comparison)
    write_table(outputs["ranks"], RANK_COLUMNS, ranks)


def read_stage_scores(path: Path) -> StageScores:
    """Scores of the sequence that their path names. Raises RecordError where they are of another, or are none."""
    scores, named = read_json(path, StageScores), TaskSequence.of(path)
    found = TaskSequence(scores.model, scores.method, scores.order, scores.seed)
    if found != named:
        raise RecordError(
            f"Asked {path} for scores of {named.folder}. Found those of {found.folder}. Run the rule that wrote it "
            "again (--forcerun score_stages)."
        )
    return scores


def class_rows(
    found: Sequence[Group], columns: Sequence[Column], roles: Sequence[Role], common: Row
) -> Table:
    """A row a method, metric and class, after that of all, and that of the mean of classes."""
    return [
        row_of(group, columns, role, metric, name)
        | {"role": role, "entity_class": name if name else "all"}
        | common
        for group in found
        for role in roles
        for metric in METRICS[role]
        for name in _classes(group, role)
    ]


def _classes(group: Group, role: Role) -> list[str]:
    """All, the mean of classes, and the classes of a role by name."""
    names = {cell.entity_class for one in group for cell in one.cells if cell.role == role}
    return [ALL, MACRO, *sorted(names - {ALL, MACRO})]


def order_rows(every: Sequence[Group], resamples: int, common: Row) -> Table:
    """A row a method, order and judged metric."""
    rows: Table = []
    for group in every:
        columns = task_columns(group[0].tasks)
        chosen = {"last": [one for one in columns if one.stage == group[0].tasks[-1]], "all": columns}
        for role, metric in JUDGED:
            cells = {
                name: {one.seed: _mean(one, part, role, metric, resamples) for one in group}
                for name, part in chosen.items()
            }
            rows.append({"order": group[0].order, "metric": metric} | pooled_row(group, cells) | common)
    return rows


def _mean(one: StageScores, columns: Sequence[Column], role: Role, metric: str, resamples: int) -> Cell:
    """The mean of columns, each alike; an entity is drawn with all of its columns."""
    cells = {column.name: one.at[column.task, role, column.stage, metric, ALL] for column in columns}
    sums = {name: cell.sums for name, cell in cells.items() if cell.sums}
    place = {"task": "", "role": role, "stage": "", "metric": metric, "entity_class": ALL}
    counts = {
        part: sum(getattr(cell, part) for cell in cells.values()) for part in ("n", "missing", "left_out")
    }
    absent = [name for name in cells if name not in sums]
    if absent:
        return Cell(**place, **counts, value=None, reason=f"no value in {', '.join(absent)}")
    low, high = interval(sums, seed=derive_seed(one.seed, "bootstrap"), resamples=resamples, ends=(0.0, 1.0))
    return Cell(**place, **counts, value=mean(sums), low=low, high=high, clusters=len(clusters_of(sums)))
