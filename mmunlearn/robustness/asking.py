"""A loaded model that answers questions on the data set's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from peft import PeftModel

from mmunlearn.models.collate import Collator
from mmunlearn.models.features import read_features
from mmunlearn.models.generation import Ask, answer_all
from mmunlearn.models.loading import Base, accelerator, load_adapter, load_base
from mmunlearn.records import Question
from mmunlearn.robustness.subject import Subject


class Speaker:
    """The subject's base, loaded once, with the adapter that speaks at the moment."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.base: Base = load_base(subject.spec, device=accelerator())
        self._table = read_features(subject.features)
        self.collator = Collator(self.base, self._table)

    @cached_property
    def model(self) -> PeftModel | torch.nn.Module:
        """The base with the subject's own adapter, unless another was set."""
        return load_adapter(self.base, self._subject.adapter)

    def say(self, rows: Sequence[Question], wording: str | None = None) -> list[str]:
        """Answers in the order of the rows; `wording` takes the place of their question."""
        longest = self._subject.asking.max_new_tokens
        asks = [Ask(row.image_id, wording or row.question, longest[row.kind]) for row in rows]
        return answer_all(
            self.model, self.base, self.collator, self._table, asks, batch=self._subject.asking.batch
        )
