"""Judge `local`: a rubric's embedded rules, deterministic and free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmunlearn.evaluation.judge.rubric import Case, Judge, Rubric
from mmunlearn.records import Judgement, Rating


class LocalJudge(Judge):
    """Scores by the rubric's own rules.

    Args:
        options: none are taken.
    """

    name = "local"

    def __init__(self, rubric: Rubric, options: Mapping[str, Any] | None = None) -> None:
        self._rubric = rubric

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Rating]:
        """One judgement a case; none is ever missing."""
        rows = []
        for case in cases:
            score, reason = self._rubric.locally(case.texts)
            rows.append(self._rubric.row(case.question_id, score, reason))
        return rows
