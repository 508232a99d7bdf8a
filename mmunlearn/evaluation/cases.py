"""What a judge is given and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmunlearn.records import Judgement


class JudgeError(RuntimeError):
    """A judge stopped: its budget is spent, or no call can succeed. Verdicts given before are kept."""


@dataclass(frozen=True)
class Case:
    """One sentence to judge with its two anchors."""

    question_id: str
    test: str
    finetuned: str
    goal: str


class Judge(Protocol):
    """Scores cases; a case without a verdict gets None and a reason, never 0."""

    name: str

    def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """One judgement a case, in order."""
        ...
