"""LUMoE's experts: for every task one adapter that has learnt to refuse its questions, from the untouched base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.ids import Run
from mmunlearn.lifelong.stages import first_adapter, stage_run, train_stage
from mmunlearn.records import digest_of

METHOD = "po"


def train_experts(
    output: Mapping[str, Sequence[Path]],
    model: str,
    seed: int,
    *,
    tasks: Sequence[str],
    rates: Mapping[str, float],
    **settings: Any,
) -> None:
    """Train an expert for every task by PO: training.json, steps.jsonl and the folder `adapter` of each.

    None knows of another, so no order changes them; those that are there stay, see `unlearn_tasks`. The first stage of
    a sequence of PO with the same settings is that task's expert.

    Args:
        output: `trainings`: training.json of every task, each in its task's folder.
        rates: task -> learning rate.
        settings: of `stage_run`, without the method.
    """
    run, apart = Run(model, METHOD, seed), digest_of([model, seed, "experts"])
    first = first_adapter(run, settings, apart)
    fields = {"start": first, "reference": first, "apart": apart, "method_name": METHOD, "options": {}}
    places = {path.parent.name: path.parent for path in output["trainings"]}
    for task in tasks:
        train_stage(stage_run(run, [task], rates[task], **fields, **settings), places[task])
