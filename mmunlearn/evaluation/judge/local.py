"""Judge `local`: a rubric's embedded formula, deterministic and free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmunlearn.evaluation.judge.rubric import Case, Judge, Rubric
from mmunlearn.records import Judgement


class LocalJudge(Judge):
    """Scores by the rubric's formula.

    Args:
        options: none are taken.
    """

    name = "local-rouge-l-1"

    def __init__(self, rubric: Rubric, options: Mapping[str, Any] | None = None) -> None:
        self._rubric = rubric

    def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """One judgement a case; none is ever missing."""
        formula, basis = self._rubric.formula, self._rubric.basis
        return [
            Judgement(question_id=case.question_id, score=formula(**case.texts), reason=basis)
            for case in cases
        ]
