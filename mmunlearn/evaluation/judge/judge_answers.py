"""Judging the answers of one recipe: rule judge_answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmunlearn.backends import JUDGES
from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.records import write_jsonl

logger = logging.getLogger(__name__)


def judge_answers(
    output: Path, *, rubric: str, judge: str, options: Mapping[str, Any] | None = None, **files: Path
) -> None:
    """Judgements of all that a rubric is asked of.

    Args:
        judge, options: backend, and what it takes.
        files: as of the rubric's `cases`.
    Raises:
        JudgeError: the judge cannot go on; what it has said is stored.
        RecordError: as of the rubric's `cases`.
    """
    instance = RUBRICS.load(rubric)()
    cases = instance.cases(**files)
    rater = JUDGES.load(judge)(instance, options)
    rows = rater.judge(cases)
    write_jsonl(output, rows)
    reasons = [row.reason for row in rows if row.score is None]
    logger.info("%s: %d judgements, %d missing", rater.name, len(rows), len(reasons))
    for reason, count in Counter(reasons).most_common(5):
        logger.warning("%d missing: %s", count, reason)
