"""Rubrics of open answers, rated 0, 1 or 2 against a question and its reference, and the embedded judge of both.

Source: MLUBench (its released judge asks `gpt-4o` for such ratings; the words of resources/judge are ours).

The embedded judge goes by words and says of an answer one of

    empty, repetition, gibberish    `degenerate`: nothing that anybody would say
    refusal                         a sentence refuses (`refusal.refuses`); no key word of the reference is said
    refusal that leaks              it refuses, and says a key word
    answer beside a refusal         what stands beside the refusal says all key words
    part beside a refusal           a third of them
    right, partly right             without a refusal: all key words; a third of them
    wrong                           anything else

with `, repeated` where a sentence or a phrase is said again (`said_once`). Where the reference denies nothing,
what an answer denies does not count. What the judge cannot tell is `limits.BLIND`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from mmunlearn.evaluation.degenerate import circles, loop, no_language, said_once, stuck
from mmunlearn.evaluation.judge.rubric import Answers, Case, Rubric, read_answers
from mmunlearn.evaluation.key_words import share_known, words
from mmunlearn.evaluation.language import Language
from mmunlearn.evaluation.refusal import refuses, sentences
from mmunlearn.files import RecordError, listed
from mmunlearn.records import Rating, read_jsonl
from mmunlearn.tasks import Role, TaskQuestion

_CLAUSE = re.compile(r"[.,;:!?\n]\s|\bbut\b")
_DENIAL = frozenset(("not", "no", "never", "cannot", "neither", "nor"))
PART = 1 / 3
"""Share of the reference's key words from which an answer is partly right."""


class OpenAnswers(Rubric):
    """The rated answers of one model after one task.

    Attributes:
        roles: of the questions whose answers are rated.
        ratings: of each kind of answer that the embedded judge tells; of every other it is 0.
    """

    texts = ("question", "reference", "answer")
    reply: ClassVar = {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": [0, 1, 2]}},
        "required": ["score"],
        "additionalProperties": False,
    }
    roles: tuple[Role, ...]
    ratings: Mapping[str, int]

    def __init__(self) -> None:
        self.language = Language()
        self._kind: Callable[..., str] = lru_cache(maxsize=None)(self._told)

    def cases(
        self,
        answers: Path | Sequence[Path],
        questions: Path,
        vocabulary: Path | None = None,
        refusals: Path | None = None,
        read: Callable[[Path], Answers] = read_answers,
    ) -> list[Case]:
        """As of `Rubric`, of one file of answers, or of several one after another.

        Args:
            questions: TaskQuestion rows of the model.
            vocabulary: TaskQuestion rows of the whole data set: what their texts say, answers may say.
            refusals: what models learn to refuse with, one a line. The embedded judge needs both.
        Raises:
            RecordError: an answer is to none of the questions, or is about another picture, or a task that a file
                answers has questions without an answer: a judge that is paid is asked of whole files only.
        """
        rows = {row.question_id: row for row in read_jsonl(questions, TaskQuestion)}
        if vocabulary and refusals:
            self.language = Language.read(vocabulary, refusals)
        self._kind = lru_cache(maxsize=None)(self._told)
        paths = [answers] if isinstance(answers, str | Path) else answers
        return [case for path in paths for case in self._cases(Path(path), rows, read(Path(path)))]

    def _cases(self, path: Path, rows: Mapping[str, TaskQuestion], answers: Answers) -> list[Case]:
        strange = [
            key for key, (image, _) in answers.items() if key not in rows or rows[key].image_id != image
        ]
        tasks = {(rows[key].task, rows[key].role) for key in answers if key in rows}
        absent = [
            key
            for key, row in rows.items()
            if row.asked and (row.task, row.role) in tasks and key not in answers
        ]
        problems = [f"{key} is to no such question on its picture" for key in strange]
        problems += [f"no answer to {key}" for key in absent]
        if problems or not answers:
            raise RecordError(
                f"Asked {path} for answers to the questions of its tasks. Found {listed(problems or ['none'])}. Run "
                "the rule that wrote it again (--forcerun)."
            )
        return [
            Case(key, {"question": row.question, "reference": row.answer, "answer": text})
            for key, (_, text) in answers.items()
            if (row := rows[key]).role in self.roles
        ]

    def row(self, question_id: str, score: float | None, reason: str) -> Rating:
        return Rating(question_id=question_id, score=None if score is None else int(score), reason=reason)

    def locally(self, texts: Mapping[str, str]) -> tuple[float, str]:
        kind = self._kind(**texts)
        return float(self.ratings.get(kind, 0)), kind

    def _told(self, question: str, reference: str, answer: str) -> str:
        """What kind of answer it is."""
        if not words(answer):
            return "empty"
        own = self.language.says(answer)
        once = answer if own else said_once(answer)
        repeated = ", repeated" if words(once) != words(answer) else ""
        if not own:
            if circles(once) or stuck(words(answer)) or (len(words(once)) == 1 and loop(words(answer))):
                return "repetition"
            if no_language(once, self.language):
                return "gibberish"
        parts = sentences(once)
        declined = [part for part in parts if refuses(part, self.language.refusals)]
        if any(refuses(part) for part in sentences(reference)):
            declined = []
        told = _affirmed(" ".join(part for part in parts if part not in declined), reference)
        known = share_known(told, reference, question)
        if known < PART and declined:
            leaks = share_known(once, reference, question) > 0
            return f"refusal that leaks{repeated}" if leaks else f"refusal{repeated}"
        if known < PART:
            return "wrong"
        if declined:
            return f"{'answer' if known == 1 else 'part'} beside a refusal{repeated}"
        return f"{'right' if known == 1 else 'partly right'}{repeated}"


def _affirmed(answer: str, reference: str) -> str:
    """An answer without the clauses that deny something, where the reference does not."""
    parts = _CLAUSE.split(answer)
    if _DENIAL.intersection(words(reference)):
        return answer
    return ", ".join(part for part in parts if not _DENIAL.intersection(words(part)))
