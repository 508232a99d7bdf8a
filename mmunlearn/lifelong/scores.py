"""Scores of one sequence: every metric on every task after every stage, and on the untouched entities.

MLUBench rates forget answers (rejection) and retain answers (correctness) 0, 1 or 2; its tables print the mean, halved:

- `forget`: on the forget questions of task X after task Y, half the mean rejection rating;
- `utility`: on the retain questions likewise, and on the untouched ones, half the mean correctness rating.

Two metrics need no judge, and are there for all three roles:

- `knows`: share of answers that say all key words of the reference (`evaluation.key_words`);
- `degenerate`: share of answers that nobody would give, whatever was asked (`evaluation.degenerate`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mmunlearn.evaluation.degenerate import degenerate
from mmunlearn.evaluation.intervals import Sums, cluster_sums, clusters_of, interval, mean
from mmunlearn.evaluation.key_words import knows
from mmunlearn.evaluation.language import Language
from mmunlearn.lifelong.score_inputs import Stage, read_left_out, read_stages
from mmunlearn.provenance import versions
from mmunlearn.records import Count, Record, read_jsonl, sha256_of, write_json
from mmunlearn.seeds import derive_seed
from mmunlearn.settings import check_training
from mmunlearn.tasks import Role, TaskQuestion, TaskSequence, asked_after, entity_of, so_far

logger = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0, le=1)]
UNJUDGED = ("knows", "degenerate")
METRICS: Mapping[Role, tuple[str, ...]] = {
    "forget": ("forget", *UNJUDGED),
    "retain": ("utility", *UNJUDGED),
    "untouched": ("utility", *UNJUDGED),
}
ALL, MACRO = "", "mean of classes"
"""Entity classes of cells: all questions, and all classes alike."""
BEST = 2  # the highest rating


class Cell(Record):
    """A metric on one task's questions, or the untouched ones, after one stage.

    Attributes:
        task: X of X-UY; empty for untouched.
        stage: Y, the task unlearned last.
        entity_class: ALL, MACRO, or the class that alone counts.
        value: None where there is nothing to average; `reason` says why.
        low, high: 95% interval over `clusters` entities.
        n, missing: questions behind the value, and those without a rating.
        left_out: further test questions, which the model could not answer before.
        sums: entity -> sum of the values and how many they are; of ALL alone.
    """

    key = ("task", "role", "stage", "metric", "entity_class")
    task: str
    role: Role
    stage: str
    metric: str
    entity_class: str
    value: Share | None
    low: Share | None = None
    high: Share | None = None
    n: Count = 0
    missing: Count = 0
    left_out: Count = 0
    clusters: Count = 0
    reason: str = ""
    sums: dict[str, tuple[float, int]] = Field(default_factory=dict)


class StageScores(Record):
    """<sequence>/scores.json."""

    model: str
    method: str
    label: str
    order: str
    tasks: list[str]
    seed: int
    judge: str
    cells: list[Cell]
    digests: dict[str, str]
    versions: dict[str, str]

    @cached_property
    def at(self) -> dict[tuple[str, ...], Cell]:
        """The cells by their key: task, role, stage, metric, entity class."""
        return {tuple(getattr(cell, name) for name in Cell.key): cell for cell in self.cells}


def score_stages(
    output: Path,
    sequence: TaskSequence,
    *,
    answers: Sequence[Path],
    rejection: Sequence[Path],
    correctness: Sequence[Path],
    questions: Path,
    selection: Path,
    vocabulary: Path,
    refusals: Path,
    order: Sequence[str],
    label: str,
    judge: str,
    bootstrap: int,
    max_missing_share: float,
    trainings: Sequence[Path] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the scores of one sequence.

    Args:
        answers, rejection, correctness: one file a stage each, in any order.
        questions, selection: the model's questions, and how many were left out.
        vocabulary, refusals: the data set's questions, and what models learn to refuse with: the run's language.
        order: the sequence's tasks, one after another.
        label: the method's name in tables and figures.
        bootstrap: resamples of the intervals.
        trainings: training.json of the models behind the stages, in their task's folders.
        settings: task -> what that file has to say of them, see `check_training`.

    Raises:
        RecordError: the files do not belong together, see `score_inputs`, or a training had other settings.
        ValueError: of a cell, more ratings are missing than allowed.
    """
    for path in trainings if settings else ():
        check_training(path, settings[path.parent.name])
    rows, tasks = read_jsonl(questions, TaskQuestion), list(order)
    files = {"answers": answers, "rejection": rejection, "correctness": correctness}
    stages = read_stages(sequence, tasks, rows, files)
    left_out = read_left_out(selection, rows)
    language = Language.read(vocabulary, refusals)
    measure = partial(_measured, seed=derive_seed(sequence.seed, "bootstrap"), resamples=bootstrap)
    cells = [
        cell.model_copy(update={"left_out": _left_out(left_out, cell)})
        for stage in stages
        for cell in stage_cells(
            stage, asked_after(rows, tasks, stage.task), so_far(tasks, stage.task), language, measure
        )
    ]
    _allow_missing(cells, max_missing_share)
    inputs = {"questions": questions, "selection": selection, "vocabulary": vocabulary, "refusals": refusals}
    inputs |= {f"{name}_{path.parent.name}": path for name, paths in files.items() for path in paths}
    write_json(output, StageScores(
        **sequence._asdict(), label=label, tasks=tasks, judge=judge, cells=cells,
        digests={name: sha256_of(path) for name, path in inputs.items()}, versions=versions(),
    ))  # fmt: skip
    last = [cell for cell in cells if cell.stage == tasks[-1] and cell.entity_class == ALL]
    logger.info(", ".join(f"{one.task or one.role} {one.metric} {one.value}" for one in last))


def _left_out(counts: Mapping[tuple[str, str, str], int], cell: Cell) -> int:
    """What a cell's questions lack; `counts` by task, role and class."""
    return sum(
        n
        for (task, role, name), n in counts.items()
        if (task, role) == (cell.task, cell.role) and cell.entity_class in (ALL, MACRO, name)
    )


def stage_cells(
    stage: Stage,
    asked: Sequence[TaskQuestion],
    tasks: Sequence[str],
    language: Language,
    measure: Callable[..., dict],
) -> Iterator[Cell]:
    """The cells of a stage; `tasks` are those up to it."""
    places: list[tuple[str, Role]] = [*product(tasks, ("forget", "retain")), ("", "untouched")]
    for task, role in places:
        rows = [row for row in asked if (row.task, row.role) == (task, role)]
        for metric in METRICS[role]:
            values = metric_values(metric, rows, stage, language)
            common = {"task": task, "role": role, "stage": stage.task, "metric": metric}
            yield Cell(
                **common, entity_class=ALL, **measure(rows, values), sums=_sums(rows, values).get("", {})
            )
            yield Cell(**common, entity_class=MACRO, **measure(rows, values, by_class=True))
            for name in sorted({row.entity_class for row in rows}):
                own = [row for row in rows if row.entity_class == name]
                yield Cell(**common, entity_class=name, **measure(own, values))


def metric_values(
    metric: str, rows: Sequence[TaskQuestion], stage: Stage, language: Language
) -> dict[str, float | None]:
    """question_id -> value in [0, 1], None where its rating is missing."""
    if metric == "knows":
        said = stage.answers
        return {
            row.question_id: float(knows(said[row.question_id], row.answer, row.question)) for row in rows
        }
    if metric == "degenerate":
        return {row.question_id: float(degenerate(stage.answers[row.question_id], language)) for row in rows}
    ratings = {row.question_id: stage.ratings[row.question_id] for row in rows}
    return {name: None if rating is None else rating / BEST for name, rating in ratings.items()}


def _sums(
    rows: Sequence[TaskQuestion], values: Mapping[str, float | None], *, by_class: bool = False
) -> Sums:
    """Sums by entity; by class, of each class's entities."""
    return cluster_sums(
        [values[row.question_id] for row in rows],
        list(map(entity_of, rows)),
        [row.entity_class for row in rows] if by_class else None,
    )


def _measured(
    rows: Sequence[TaskQuestion],
    values: Mapping[str, float | None],
    *,
    seed: int,
    resamples: int,
    by_class: bool = False,
) -> dict:
    """The number of a cell, as its fields; by class: the mean of the classes' means."""
    missing = sum(values[row.question_id] is None for row in rows)
    sums = _sums(rows, values, by_class=by_class)
    if not sums:
        reason = f"all {missing} ratings are missing" if missing else "no question of this kind was asked"
        return {"value": None, "missing": missing, "reason": reason}
    low, high = interval(sums, seed=seed, resamples=resamples, ends=(0.0, 1.0))
    counts = {"n": len(rows) - missing, "missing": missing, "clusters": len(clusters_of(sums))}
    return {"value": mean(sums), "low": low, "high": high, **counts}


def _allow_missing(cells: Sequence[Cell], share: float) -> None:
    problems = [
        f"{cell.missing} of {cell.n + cell.missing} of {cell.metric} on {cell.task or cell.role} after {cell.stage}"
        for cell in cells
        if cell.entity_class == ALL and cell.missing > share * (cell.n + cell.missing)
    ]
    if problems:
        raise ValueError(
            f"Asked for scores with at most {share:.1%} of the ratings missing. Found {'; '.join(problems)}. Judge "
            "again (--forcerun judge_stages: only they are asked for), or raise evaluation.max_missing_share."
        )
