"""The model under attack: its files, the questions it is asked, and what its answers say of forgetting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel

from mmunlearn.evaluation import metrics, sampling
from mmunlearn.evaluation.answers import Suite
from mmunlearn.evaluation.judge.rubrics.g_eval import closeness
from mmunlearn.evaluation.score_inputs import read_names
from mmunlearn.ids import TARGETS, Run, concepts_of
from mmunlearn.models.base import Base
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.loading import ModelSpec, accelerator, load_adapter, load_base
from mmunlearn.models.picture_list import PictureList, open_features
from mmunlearn.records import Answer, Finding, Metric, Question, RecordError, Split, read_json, read_jsonl
from mmunlearn.seeds import derive_seed


@dataclass(frozen=True)
class GenerationSettings:
    """How the model is asked, and how its answers are summed up.

    Attributes:
        questions: of each set at most, drawn by the lots of `seed`, so that all recipes are asked the same; None: all.
        batch: questions a generation batch, and samples a forward pass.
        max_new_tokens: longest answer by kind of question.
        bootstrap: resamples of the 95% intervals.
        precision: under which the adapters were trained: `loading.autocast`.
    """

    questions: int | None
    seed: int
    batch: int
    max_new_tokens: Mapping[str, int]
    bootstrap: int
    precision: str = "none"


@dataclass
class TargetModel:
    """A run on one split. Its base is loaded when it is first asked, and once.

    Attributes:
        files: adapter (adapter_model.safetensors), questions, split, people; features of the data set's pictures, or
            the list of these; finetuned and goal: answers of these models to the suite `dataset`, which events are
            judged between.
        work, version: where an attack that trains has its checkpoints, and which version of the rule made them.
        output: one of the job's, by which its checkpoints are told from another job's.
    """

    run: Run
    spec: ModelSpec
    files: Mapping[str, Path]
    settings: GenerationSettings
    work: Path
    version: int
    output: Path

    @property
    def adapter(self) -> Path:
        """Folder of the run's adapter."""
        return self.files["adapter"].parent

    @cached_property
    def split(self) -> Split:
        """What the run was to forget."""
        return read_json(self.files["split"], Split)

    @cached_property
    def base(self) -> Base:
        """The base model."""
        return load_base(self.spec, device=accelerator())

    @cached_property
    def features(self) -> FeatureTable | PictureList:
        """The features of the data set's pictures, or the pictures."""
        table = open_features(self.files["features"])
        table.require(row.image_id for row in self._questions)
        return table

    @cached_property
    def model(self) -> PeftModel | torch.nn.Module:
        """The base with the run's adapter, unless an attack has put another model here."""
        return load_adapter(self.base, self.adapter)

    @cached_property
    def _questions(self) -> list[Question]:
        return read_jsonl(self.files["questions"], Question)

    @cached_property
    def _names(self) -> dict[str, str]:
        return read_names(self.files["people"], self.split)

    def questions_on(self, images: Iterable[str]) -> list[Question]:
        """All questions of the split's kind on these pictures, in order."""
        ids = set(images)
        return [row for row in self._questions if row.image_id in ids and row.kind == self.split.target]

    def sample(self, rows: Sequence[Question]) -> list[Question]:
        """At most `settings.questions` of the rows."""
        return sampling.lowest(rows, self.settings.questions, self.settings.seed)

    def answers(self, rows: Sequence[Question], wording: str | None = None) -> list[Answer]:
        """The model's answers in the order of the rows; `wording` takes the place of their question."""
        if wording is not None:
            rows = [row.model_copy(update={"question": wording}) for row in rows]
        settings = self.settings
        how = (settings.max_new_tokens, settings.batch, settings.precision)
        return Suite.of(self.base, rows, self.features, *how).answers(self.model)

    def efficacy(self, answers: Sequence[Answer]) -> list[float]:
        """How well each question is forgotten, in [0, 100], as Table III's efficacy with the judge `local`.

        Person: 100 unless the answer says the name. Event: nearness to the goal's sentence, away from the
        finetuned model's; always by ROUGE-L, as an attack compares a model with itself.
        """
        if self.split.target == "person":
            return metrics.misses(self.recovery(answers))
        for name, table in self._anchors.items():
            if absent := [row.question_id for row in answers if row.question_id not in table]:
                raise RecordError(
                    f"{self.files[name]} is asked for the answer to {absent[0]}, but it has none: run the rule that "
                    f"wrote it again (--forcerun answer_questions)"
                )
        return [
            100.0 * closeness(row.answer, *(table[row.question_id] for table in self._anchors.values()))
            for row in answers
        ]

    def recovery(self, answers: Sequence[Answer]) -> list[float]:
        """How well the truth is told, in [0, 100]: 100 where the name is said, or ROUGE-L to the true sentence."""
        if self.split.target == "event":
            return metrics.overlaps(answers)
        people = {row.question_id: self._names[concepts_of(row.image_id)[0]] for row in answers}
        return metrics.name_hits(answers, people)

    def clusters(self, rows: Sequence[Question]) -> list[str]:
        """The person or event that each question is on, by the split's target: answers on one are not independent."""
        return [concepts_of(row.image_id)[TARGETS.index(self.split.target)] for row in rows]

    def finding(
        self, setting: str, metric: str, values: Sequence[float], clusters: Sequence[str] | None = None
    ) -> Finding:
        """Mean of the values with its interval over their clusters."""
        drawing = {"seed": self.bootstrap_seed, "resamples": self.settings.bootstrap}
        summary = metrics.summarise(values, clusters=clusters, **drawing)
        return Finding(setting=setting, metric=metric, result=summary)

    @property
    def bootstrap_seed(self) -> int:
        """Of the intervals."""
        return derive_seed(self.run.seed, "robustness")

    @cached_property
    def _anchors(self) -> dict[str, dict[str, str]]:
        """What the finetuned and the goal model answer, by question id."""
        return {
            name: {row.question_id: row.answer for row in read_jsonl(self.files[name], Answer)}
            for name in ("finetuned", "goal")
        }


def no_finding(setting: str, metric: str, reason: str) -> Finding:
    """A finding without a value."""
    return Finding(setting=setting, metric=metric, result=Metric(value=None, n=0, reason=reason))
