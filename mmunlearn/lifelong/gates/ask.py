"""The rule ask_gate: a gate's replies to every picture that models are asked about, and to strangers'."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn.lifelong.answers import Asking
from mmunlearn.lifelong.gates import GATES
from mmunlearn.lifelong.gates.gate import Sources
from mmunlearn.records import read_jsonl, write_jsonl
from mmunlearn.spool import supersede
from mmunlearn.tasks import TaskQuestion

logger = logging.getLogger(__name__)


def ask_gate(
    output: Path,
    *,
    gate: str,
    questions: Path,
    features: Path,
    spec: Mapping[str, Any],
    settings: Mapping[str, Any],
    precision: str,
    endpoint: Mapping[str, Any],
    batch: int,
    work: Path,
    version: int,
) -> None:
    """Write one GateReply a picture, by image id.

    Args:
        gate: key of GATES.
        questions: TaskQuestion rows of the model.
        settings: of the gate.
        endpoint: how a vision model is reached, where the gate asks one.
    Raises:
        ChatError: the endpoint cannot be asked.
        WeightsError, RecordError: weights, features or pictures are missing or damaged.
    """
    rows = read_jsonl(questions, TaskQuestion)
    pictures = {row.image_id: row for row in reversed(rows) if row.shown}

    loaded: list[Asking] = []

    def asking(max_new_tokens: int) -> Asking:
        settings = (spec, max_new_tokens, precision, batch, work, version)
        loaded.append(Asking.load(features, list(pictures.values()), *settings))
        return loaded[-1]

    sources = Sources(rows, questions, features, asking, endpoint, output, work)
    looking = GATES.load(gate)(settings, sources)
    replies = looking.replies([pictures[image_id] for image_id in sorted(pictures)])
    write_jsonl(output, replies)
    supersede(spool for one in loaded for spool in one.spools)
    unusable = [one for one in replies if one.problem]
    logger.info("%d pictures, %d without a usable reply", len(replies), len(unusable))
    if unusable:
        logger.warning("the base answers on %s: %s", unusable[0].image_id, unusable[0].problem)
