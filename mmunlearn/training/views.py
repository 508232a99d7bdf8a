"""What a method sees of a step: the forget, retain and refusal questions with their logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from mmunlearn.training import losses


@dataclass
class View:
    """One set of questions in a (micro-)batch.

    Attributes:
        logits, labels: (Q, T, V) and (Q, T), one row a question.
        tokens, samples: answer tokens and questions of the whole effective batch, for exact accumulation.
        reference_logits: (Q, T, V) of the frozen reference, where the method asks for it.
    """

    logits: Tensor
    labels: Tensor
    tokens: int
    samples: int
    reference_logits: Tensor | None = None

    @cached_property
    def cross_entropy(self) -> Tensor:
        return losses.cross_entropy(self.logits, self.labels, self.tokens)

    @cached_property
    def divergence(self) -> Tensor:
        return losses.kl_divergence(self.logits, self.reference_logits, self.labels, self.samples)

    @cached_property
    def logp(self) -> Tensor:
        return losses.sequence_logp(self.logits, self.labels)

    @cached_property
    def reference_logp(self) -> Tensor:
        return losses.sequence_logp(self.reference_logits, self.labels)
