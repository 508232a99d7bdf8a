"""The model under attack, the questions it is asked, and what its answers say of forgetting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmunlearn.evaluation import metrics, sampling
from mmunlearn.evaluation.judge import Case, closeness
from mmunlearn.evaluation.scoring import people_names
from mmunlearn.ids import concepts_of
from mmunlearn.records import Answer, Finding, Metric, Question, RecordError, Split, read_json, read_jsonl
from mmunlearn.seeds import derive_seed


@dataclass(frozen=True)
class Asking:
    """How a subject is asked.

    Attributes:
        questions: of each set at most, drawn by the lots of `seed`, so that all recipes are asked the same; None: all.
        batch: questions a generation batch, and samples a forward pass.
        max_new_tokens: longest answer by kind of question.
        bootstrap: resamples of the 95% intervals.
    """

    questions: int | None
    seed: int
    batch: int
    max_new_tokens: Mapping[str, int]
    bootstrap: int


@dataclass(frozen=True)
class Subject:
    """A recipe on one split, as files.

    Attributes:
        label: the method's name in tables and figures.
        spec: a models.loading.ModelSpec; `adapter` is the folder of the recipe's adapter on it.
        features: of the data set's pictures.
        finetuned, goal: answers of these models to the suite `dataset`, which events are judged between.
    """

    model: str
    recipe: str
    seed: int
    label: str
    spec: Any
    adapter: Path
    questions: Path
    split: Path
    people: Path
    features: Path
    asking: Asking
    finetuned: Path | None = None
    goal: Path | None = None

    @cached_property
    def own(self) -> Split:
        return read_json(self.split, Split)

    @cached_property
    def _all(self) -> list[Question]:
        return read_jsonl(self.questions, Question)

    def on(self, images: Iterable[str]) -> list[Question]:
        """All questions of the split's kind on these pictures, in order."""
        wanted = set(images)
        return [row for row in self._all if row.image_id in wanted and row.kind == self.own.target]

    def some(self, rows: Sequence[Question]) -> list[Question]:
        """At most `asking.questions` of the rows."""
        return sampling.lowest(rows, self.asking.questions, self.asking.seed)

    def efficacy(self, rows: Sequence[Question], said: Sequence[str]) -> list[float]:
        """How well each question is forgotten, in [0, 100], as Table III's efficacy with the judge `local`.

        Person: 100 unless the answer says the name. Event: nearness to the goal's sentence, away from the
        finetuned model's; always by ROUGE-L, as an attack compares a model with itself.
        """
        if self.own.target == "person":
            return metrics.misses(self.recovery(rows, said))
        before, ideal = _said(self.finetuned), _said(self.goal)
        for path, table in ((self.finetuned, before), (self.goal, ideal)):
            absent = [row.question_id for row in rows if row.question_id not in table]
            if absent:
                raise RecordError(
                    f"{path} is asked for the answer to {absent[0]}, but it has none; delete it and rerun"
                )
        cases = [
            Case(row.question_id, text, before[row.question_id], ideal[row.question_id])
            for row, text in zip(rows, said, strict=True)
        ]
        return [100.0 * closeness(case) for case in cases]

    def recovery(self, rows: Sequence[Question], said: Sequence[str]) -> list[float]:
        """How well the truth is told, in [0, 100]: 100 where the name is said, or ROUGE-L to the true sentence."""
        answers = [
            Answer(
                question_id=row.question_id, image_id=row.image_id, question=row.question, reference=row.answer,
                answer=text,
            )
            for row, text in zip(rows, said, strict=True)
        ]  # fmt: skip
        if self.own.target == "event":
            return metrics.overlaps(answers)
        names = people_names(self.people)
        return metrics.name_hits(
            answers, {row.question_id: names[concepts_of(row.image_id)[0]] for row in rows}
        )

    def finding(self, setting: str, metric: str, values: Sequence[float]) -> Finding:
        """Mean of the values with its interval over questions."""
        made = metrics.summarise(values, seed=self.bootstrap_seed, resamples=self.asking.bootstrap)
        return Finding(setting=setting, metric=metric, result=made)

    @property
    def bootstrap_seed(self) -> int:
        return derive_seed(self.seed, "robustness")


def _said(path: Path | None) -> dict[str, str]:
    if path is None:
        raise RecordError(
            "the event target is judged between the finetuned and the goal model, but their answers were not given"
        )
    return {row.question_id: row.answer for row in read_jsonl(path, Answer)}


def nothing(setting: str, metric: str, reason: str) -> Finding:
    """A finding without a value."""
    return Finding(setting=setting, metric=metric, result=Metric(value=None, n=0, reason=reason))
