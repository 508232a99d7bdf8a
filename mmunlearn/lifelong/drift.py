"""Representation drift: how far the centroids of pictures and texts move when a model unlearns task after task.

What is measured, and what the paper leaves open, says `lifelong.centroids`. The change of the gap is paired, of the
same questions before the first task and after a stage, and its interval is a bootstrap over entities.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmunlearn.digests import STORE, checksums
from mmunlearn.evaluation.intervals import FEW, draws, percentiles
from mmunlearn.evaluation.sampling import lowest
from mmunlearn.lifelong.centroids import (
    DISTANCES,
    ModalitySums,
    modality_sums,
    without_picture_tokens,
)
from mmunlearn.lifelong.drift_rows import SETS, Drift, Set, SetDrift, measured_after
from mmunlearn.models.collate import Collator
from mmunlearn.models.loading import ModelSpec, accelerator, adapted, load_base
from mmunlearn.models.picture_list import open_features
from mmunlearn.provenance import versions
from mmunlearn.records import read_jsonl, write_json
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import TaskQuestion, TaskSequence, entity_of

logger = logging.getLogger(__name__)
Key = tuple[str, Set]  # task, role


@dataclass(frozen=True)
class DriftSettings:
    """How drift is measured.

    Attributes:
        distance: one of DISTANCES.
        questions: of each set at most, by the lots of `seed`, so that all methods are measured on the same; None: all.
        bootstrap: resamples of the intervals.
    """

    distance: str
    questions: int | None
    seed: int
    bootstrap: int


def measure_drift(
    output: Path,
    sequence: TaskSequence,
    *,
    questions: Path,
    features: Path,
    adapters: Sequence[Path],
    spec: Mapping[str, Any],
    experts: bool,
    settings: Mapping[str, Any],
    batch: int,
    work: Path,
    precision: str = "none",
) -> None:
    """Measure the drift after every stage on the tasks so far, or of every expert on its own task.

    Args:
        output: drift.json, a Drift.
        questions: TaskQuestion rows; of these, forget and retain questions that models are asked.
        features: of their pictures, or the list of these.
        adapters: `<task>/adapter/adapter_model.safetensors`, in the order of the tasks.
        spec: settings of `ModelSpec`.
        experts: whether the adapters are LUMoE's, each of the base and its own task. No one model comes after them: a
            question's states are its expert's, or those of the base, which does not move.
        settings: of `DriftSettings`.
        batch: questions a forward pass, at most.
        work: where checksums are kept.
        precision: under which the adapters were trained: `loading.autocast`.

    Raises:
        RecordError: a picture has no features.
    """
    how = DriftSettings(**settings)
    folders = {path.parent.parent.name: path.parent for path in adapters}
    sets = _sets(read_jsonl(questions, TaskQuestion), list(folders), how)
    table = open_features(features)
    table.require(row.image_id for rows in sets.values() for row in rows)
    base = load_base(ModelSpec(**spec), device=accelerator())
    reason = without_picture_tokens(base)
    measured = partial(modality_sums, Collator(base, table), batch=batch, precision=precision)
    before = {} if reason else {key: measured(rows, what="before") for key, rows in sets.items() if rows}
    found = []
    for stage, tasks in measured_after(list(folders), experts):
        keys = [key for key in sets if key[0] in tasks]
        after = before
        if stage and before:
            with adapted(base, folders[stage]):
                after = {
                    key: measured(sets[key], what=f"after {stage}: {key[0]} {key[1]}")
                    for key in keys
                    if key in before
                }
        for key in keys:
            numbers = {"reason": reason or "the base answers none of its questions"}
            if key in before:
                numbers = compare(before[key], after[key], how, derive_seed(sequence.seed, "drift"))
            found.append(_row(key, stage, sets[key], numbers))
    files = {"questions": questions, "features": features, **dict(zip(folders, adapters, strict=True))}
    digests = {name: checksums({name: path}, work / STORE)[name] for name, path in files.items()}
    what = {"experts": experts, "distance": how.distance}
    write_json(output, Drift(**sequence._asdict(), **what, sets=found, digests=digests, versions=versions()))
    for row in (row for row in found if row.change is not None):
        logger.info("%s %s after %s: gap %+.3f", row.task, row.role, row.after or "none", row.change)


def compare(
    before: ModalitySums, after: ModalitySums, how: DriftSettings, seed: int
) -> dict[str, float | str | None]:
    """The numbers of a SetDrift; no interval of fewer entities than a bootstrap says something of."""
    distance, entities = DISTANCES[how.distance], len(before.counts)
    was, now = before.centroids(), after.centroids()
    original, unlearned = (float(distance(*pair)) for pair in (was, now))
    picture, text = map(float, distance(was, now))
    numbers = {"original": original, "unlearned": unlearned, "change": unlearned - original}
    numbers |= {"picture": picture, "text": text}
    if entities < FEW:
        return numbers | {"reason": "no intervals where a set has fewer than six entities"}
    weights = draws((("",),) * entities, seed, how.bootstrap)
    changes = distance(*after.centroids(weights)) - distance(*before.centroids(weights))
    low, high = percentiles(changes, entities)
    return numbers | {"low": low, "high": high}


def _sets(
    rows: Sequence[TaskQuestion], tasks: Sequence[str], how: DriftSettings
) -> dict[Key, list[TaskQuestion]]:
    """(task, role) -> its questions, at most so many."""
    sets: dict[Key, list[TaskQuestion]] = {(task, role): [] for task in tasks for role in SETS}
    for row in rows:
        if row.asked and (row.task, row.role) in sets:
            sets[row.task, row.role].append(row)
    return {key: lowest(of_set, how.questions, how.seed) for key, of_set in sets.items()}


def _row(key: Key, after: str, rows: Sequence[TaskQuestion], numbers: Mapping[str, Any]) -> SetDrift:
    task, role = key
    entities = len(set(map(entity_of, rows)))
    return SetDrift(task=task, role=role, after=after, n=len(rows), entities=entities, **numbers)
