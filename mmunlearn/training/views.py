"""Views: the sets of questions of a (micro-)batch that a method's loss looks at, each with its logits.

`forget`: the questions to forget with their true answers; `forget_person`, `forget_event`: the same apart, for
methods that weigh them; `refusal`: the questions of `forget` in the same order, answered by refusals; `retain`:
pictures of the retain set with all their questions. A set without questions is absent or has no rows: its terms
are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from mmunlearn.training import losses


@dataclass
class View:
    """One set of questions in a (micro-)batch.

    Attributes:
        logits, labels: (Q, T, V) and (Q, T), one row a question.
        tokens, samples: answer tokens, and questions with an answer, of the whole effective batch, for exact
            accumulation.
        average: of CE and KL, one of losses.AVERAGES.
        reference_logits: (Q, T, V) of the frozen reference, where the method's `reference` names the view.
        reference_logp: (Q,) summed log-probabilities of the reference, where its `reference_logp` names it.
    """

    logits: Tensor
    labels: Tensor
    tokens: int
    samples: int
    reference_logits: Tensor | None = None
    reference_logp: Tensor | None = None
    average: str = "sample"

    @property
    def _total(self) -> int:
        return self.tokens if self.average == "token" else self.samples

    @cached_property
    def cross_entropy(self) -> Tensor:
        """CE, this part's share of the effective batch's mean."""
        return losses.cross_entropy(self.logits, self.labels, self._total, self.average)

    @cached_property
    def divergence(self) -> Tensor:
        """KL(reference || current), this part's share of the effective batch's mean."""
        return losses.kl_divergence(
            self.logits, self.reference_logits, self.labels, self._total, self.average
        )

    @cached_property
    def logp(self) -> Tensor:
        """Summed log-probability of every answer, (Q,)."""
        return losses.sequence_logp(self.logits, self.labels)

    @cached_property
    def lengths(self) -> Tensor:
        """Answer tokens of every question, (Q,) int64."""
        return losses.answer_lengths(self.labels)

    def mean(self, values: Tensor) -> Tensor:
        """Of `values` (Q,), this part's share of the effective batch's mean over samples."""
        return losses.sample_mean(values, self.labels, self.samples)


def cross_entropy(view: Mapping[str, View], name: str) -> Tensor | float:
    """CE of a view, 0 where the batch has none."""
    return view[name].cross_entropy if name in view else 0.0


def divergence(view: Mapping[str, View], name: str) -> Tensor | float:
    """KL(reference || current) of a view, 0 where the batch has none."""
    return view[name].divergence if name in view else 0.0
