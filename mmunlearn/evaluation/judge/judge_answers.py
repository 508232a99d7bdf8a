"""Judging the answers of one recipe: rule judge_answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn.backends import JUDGES
from mmunlearn.evaluation.judge.rubrics.g_eval import G_EVAL, cases_of
from mmunlearn.records import write_jsonl

logger = logging.getLogger(__name__)


def judge_answers(
    output: Path,
    *,
    answers: Path,
    finetuned: Path,
    goal: Path,
    split: Path,
    judge: str,
    options: Mapping[str, Any] | None = None,
) -> None:
    """G-Eval of the event answers on the forget set of a split.

    Args:
        answers, finetuned, goal: answer files of the suite `dataset`.
        judge, options: backend, and what it takes.
    Raises:
        JudgeError: the judge cannot go on; what it has said is stored.
        RecordError: as of `cases_of`.
    """
    cases = cases_of(answers, finetuned, goal, split)
    rater = JUDGES.load(judge)(G_EVAL, options)
    rows = rater.judge(cases)
    write_jsonl(output, rows)
    reasons = [row.reason for row in rows if row.score is None]
    logger.info("%s: %d judgements, %d missing", rater.name, len(rows), len(reasons))
    for reason, count in Counter(reasons).most_common(5):
        logger.warning("%d missing: %s", count, reason)
