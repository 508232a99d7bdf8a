"""G-Eval: how close is an unlearned model's sentence to the goal model's, away from the finetuned model's?

Source: PEBench, section III-C3. A judge maps (test, finetuned, goal) sentences to a score in [0, 1]: 0 is the
finetuned model (nothing forgotten), 1 is the goal model.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.backends import JUDGES
from mmunlearn.evaluation.cases import Case, Judge
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.records import Answer, Judgement, RecordError, Split, read_json, read_jsonl, write_jsonl

logger = logging.getLogger(__name__)


EventAnswers = Callable[[Path, set[str]], dict[str, str]]


class LocalJudge(Judge):
    """The embedded judge: d_finetuned / (d_finetuned + d_goal) with d = 1 - ROUGE-L F1 to that sentence.

    It is 0.5 where both distances are 0: the anchors agree, so nothing can be told apart. By construction the
    finetuned model scores 0 and the goal model 1 wherever their sentences differ; the other-seed goal model is
    the honest ceiling. Deterministic and free, but it compares words, not meanings: a sentence with nothing of
    either anchor gets 0.5, gibberish included. Use it for tests and for models with a small vocabulary; never beside
    the paper's numbers, nor for free-form answers of real models: there, take the judge `openai`.

    Args:
        options: none are taken.
    """

    name = "local-rouge-l-1"

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Nothing to set."""

    def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """One judgement a case; none is ever missing."""
        return [
            Judgement(question_id=case.question_id, score=closeness(case), reason="ROUGE-L distances")
            for case in cases
        ]


def closeness(case: Case) -> float:
    """The local judge's score of one case, in [0, 1]."""
    to_finetuned, to_goal = distance(case.test, case.finetuned), distance(case.test, case.goal)
    total = to_finetuned + to_goal
    return to_finetuned / total if total else 0.5


def distance(sentence: str, other: str) -> float:
    """1 - ROUGE-L F1; 0 for equal sentences, without a single word, too."""
    return 0.0 if sentence == other else 1.0 - rouge_l(sentence, other)


def judge_answers(
    answers: Path,
    finetuned: Path,
    goal: Path,
    split: Path,
    output: Path,
    *,
    judge: str,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Judge the event answers on the forget set of a split.

    Args:
        answers, finetuned, goal: answer files of the suite `dataset`.
        judge, options: backend, and what it takes.
    Raises:
        JudgeError: the judge cannot go on; what it has said is kept.
        RecordError: as of `cases_of`.
    """
    cases = cases_of(answers, finetuned, goal, split)
    backend_judge = JUDGES.load(judge)(options)
    rows = backend_judge.judge(cases)
    write_jsonl(output, rows)
    reasons = [row.reason for row in rows if row.score is None]
    logger.info("%s: %d judgements, %d missing", backend_judge.name, len(rows), len(reasons))
    for reason, count in Counter(reasons).most_common(5):
        logger.warning("%d missing: %s", count, reason)


def cases_of(
    answers: Path, finetuned: Path, goal: Path, split: Path, read: EventAnswers | None = None
) -> list[Case]:
    """What is judged: the answers to the event questions on a split's forget set, with their anchors.

    Args:
        read: in place of `event_answers`, which checks every row.
    Raises:
        RecordError: one of the three models has no answer to a question that another has.
    """
    own = read_json(split, Split)
    forgotten = set(own.forget_train) | set(own.forget_test)
    test, before, ideal = ((read or event_answers)(path, forgotten) for path in (answers, finetuned, goal))
    for path, table in ((finetuned, before), (goal, ideal)):
        if table.keys() != test.keys():
            raise RecordError(
                f"{path} and {answers} answer different questions: delete the older one and rerun"
            )
    return [Case(key, text, before[key], ideal[key]) for key, text in test.items()]


def event_answers(path: Path, images: set[str]) -> dict[str, str]:
    """question_id -> answer of the event questions on some pictures, in the file's order."""
    rows = read_jsonl(path, Answer)
    return {row.question_id: row.answer for row in rows if row.image_id in images and is_event(row)}


def is_event(row: Answer) -> bool:
    """Whether a row of the suite `dataset` answers an event question; its id ends in the kind."""
    return row.question_id.endswith("-event")
