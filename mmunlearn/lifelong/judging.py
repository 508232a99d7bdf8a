"""Ratings of all that one sequence's models have said, by one rubric: rule judge_stages."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.backends import JUDGES
from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.records import write_jsonl

logger = logging.getLogger(__name__)


def judge_stages(
    outputs: Sequence[Path],
    *,
    rubric: str,
    judge: str,
    answers: Sequence[Path],
    options: Mapping[str, Any] | None = None,
    **files: Path,
) -> None:
    """Write one file of ratings a stage. Equal answers to equal questions are judged once, whatever their stage.

    Args:
        outputs, answers: `<task>/<rubric>.jsonl` and `<task>/answers.jsonl`, one a stage, each in any order.
        judge, options: backend, and what it takes.
        files: further ones of the rubric's `cases`: questions, vocabulary, refusals.
    Raises:
        JudgeError: the judge cannot go on; what it has said is stored.
        RecordError: as of the rubric's `cases`.
        ValueError: answers and outputs are not of the same stages.
    """
    by_stage = {path.parent.name: path for path in map(Path, answers)}
    stages = [Path(path).parent.name for path in outputs]
    if sorted(stages) != sorted(by_stage):
        raise ValueError(
            f"answers of the stages {sorted(by_stage)} were given for ratings of {sorted(stages)}"
        )
    instance = RUBRICS.load(rubric)()
    parts = [instance.cases(answers=by_stage[stage], **files) for stage in stages]
    rater = JUDGES.load(judge)(instance, options)
    rows = rater.judge([case for part in parts for case in part])
    reasons = [row.reason for row in rows if row.score is None]
    logger.info("%s: %d ratings by %s, %d missing", rater.name, len(rows), rubric, len(reasons))
    for reason, count in Counter(reasons).most_common(5):
        logger.warning("%d missing: %s", count, reason)
    for output, part in zip(outputs, parts, strict=True):
        write_jsonl(output, rows[: len(part)])
        del rows[: len(part)]
