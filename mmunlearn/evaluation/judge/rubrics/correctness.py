"""Correctness: is an answer to a question that is not to be forgotten right and to the point?"""

from __future__ import annotations

from typing import ClassVar

from mmunlearn.evaluation.judge.open_answers import OpenAnswers
from mmunlearn.evaluation.judge.rubric import PROMPTS
from mmunlearn.tasks import RUBRICS


class Correctness(OpenAnswers):
    """The answers on retain sets and untouched entities: 2 where they are right, 1 in part, 0 for anything else."""

    name = "correctness"
    prompt = PROMPTS / "correctness.txt"
    roles = RUBRICS[name]
    ratings: ClassVar = {
        "right": 2,
        "right, repeated": 1,
        "part beside a refusal": 1,
        "part beside a refusal, repeated": 1,
        "partly right": 1,
        "partly right, repeated": 1,
        "answer beside a refusal": 1,
        "answer beside a refusal, repeated": 1,
    }
