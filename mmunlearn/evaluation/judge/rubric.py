"""The base classes of rubrics (what is asked) and judges (who answers), and the cases that they judge."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from mmunlearn.chat import Reply, ReplyError, object_of
from mmunlearn.endpoint import identity_of
from mmunlearn.files import read_text
from mmunlearn.records import Answer, Judgement, Rating, digest_of, read_jsonl

PROMPTS = Path(__file__).resolve().parents[3] / "resources" / "judge"


class JudgeError(RuntimeError):
    """A judge stopped: its budget is spent, or no call can succeed. Verdicts given before are kept."""


@dataclass(frozen=True)
class Case:
    """One thing to judge: the texts that the rubric names, by name."""

    question_id: str
    texts: Mapping[str, str]


class Judge(Protocol):
    """Scores cases by a rubric; a case without a verdict gets None and a reason, never 0."""

    name: str

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Rating]:
        """One judgement a case, in order."""
        ...


Answers = Mapping[str, tuple[str, str]]
"""question_id -> image_id and answer."""


def read_answers(path: Path) -> Answers:
    """The answers of a file, in order."""
    return {row.question_id: (row.image_id, row.answer) for row in read_jsonl(path, Answer)}


class Rubric(ABC):
    """One kind of verdict.

    Attributes:
        name: its registered name; in the names of batches.
        prompt: file of all that is asked; `{name}` is the place of the case's text of that name.
        texts: names of a case's texts. Their order is the order in which the store writes them down.
        reply: JSON schema of the reply, an object whose `score` is a number; its bounds are checked.
        decides: options of a judge that can change a verdict; all others (timeouts, prices, the store) cannot.
    """

    name: str
    prompt: Path
    texts: tuple[str, ...]
    reply: Mapping[str, Any]
    decides: tuple[str, ...] = ("base_url", "model", "temperature", "seed")

    @abstractmethod
    def cases(self, read: Callable[[Path], Answers] = read_answers, **files: Path) -> list[Case]:
        """What it is asked of.

        Args:
            read: an answer file.
            files: the named inputs of the judging rule.
        Raises:
            RecordError: the files do not belong together.
        """

    @abstractmethod
    def locally(self, texts: Mapping[str, str]) -> tuple[float, str]:
        """The embedded judge: a case's texts, by name -> score, and what it goes by."""

    def row(self, question_id: str, score: float | None, reason: str) -> Judgement | Rating:
        """A judgement as it is written down."""
        return Judgement(question_id=question_id, score=score, reason=reason)

    @cached_property
    def _prompt(self) -> str:
        return read_text(self.prompt).strip()

    def messages(self, texts: Mapping[str, str]) -> list[dict[str, str]]:
        """The conversation that asks for one verdict."""
        places = rf"\{{({'|'.join(self.texts)})\}}"
        return [{"role": "user", "content": re.sub(places, lambda place: texts[place[1]], self._prompt)}]

    def identity(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What makes two judges the same: endpoint, model, temperature, seed, and all that is asked but for the texts.

        Args:
            options: `evaluation.openai` of the configuration.
        """
        temperature = None if options["temperature"] is None else float(options["temperature"])
        plain = dict(options) | {
            "base_url": identity_of(options["base_url"]),
            "temperature": temperature,
        }
        prompt = [self.messages({name: f"{{{name}}}" for name in self.texts}), self.reply]
        return {key: plain[key] for key in self.decides} | {"prompt": digest_of(prompt, length=64)}

    def key(self, judge: Mapping[str, Any], texts: Mapping[str, str]) -> str:
        """What makes two verdicts the same: a digest of the judge (as of `identity`) and the texts."""
        named = {name: texts[name] for name in self.texts}
        return digest_of({"judge": dict(judge), "sentences": named}, length=64)

    def score(self, reply: Reply, request: str) -> float:
        """What a reply says. Raises ReplyError where it does not fit the schema: nothing is clipped or guessed."""
        score = object_of(reply, self.reply, request)["score"]
        if not isfinite(score):  # a schema's bounds let NaN pass
            raise ReplyError(request, f"has the score {score}, which is no number", reply.text)
        return float(score)
