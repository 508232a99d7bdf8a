"""The language head on the positions of answers alone.

A forward pass makes logits of every position, and with a vocabulary of 151,936 these are most of the memory of a step:
4 rows of 700 tokens in float32 take 1.7 GB, and their gradients as much again. No model is called otherwise for that:
while the block runs, a hook hands the head the hidden states at the answers only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass
class Answers:
    """Where the answers of a batch lie.

    Attributes:
        rows: (Q, 1), int64.
        positions: (Q, T), int64: those of each question's answer in its row.
        shape: (B, L) of the input ids.
        reached: how often the head was given hidden states of this shape, and so those of the answers instead.
    """

    rows: Tensor
    positions: Tensor
    shape: tuple[int, int]
    reached: int = 0

    def of(self, values: Tensor) -> Tensor:
        """(Q, T, N) of (B, L, N)."""
        return values[self.rows, self.positions]

    def logits(self, logits: Tensor) -> Tensor:
        """(Q, T, V): the model's, where its head has seen the answers alone, else those of the answers among all.

        Raises:
            ValueError: the model's logits are neither of these.
        """
        expected = tuple(self.positions.shape) if self.reached else self.shape
        if tuple(logits.shape[:-1]) != expected:
            what = "the answers" if self.reached else "all tokens"
            raise ValueError(
                f"logits of {what}, {(*expected, 'V')}, are asked for, but the model gives {tuple(logits.shape)}; its "
                f"forward pass must give its language head's output as `logits`, one row a row of input_ids: use a "
                f"model of the library that does, or describe it as a family of its own"
            )
        return logits if self.reached else self.of(logits)


@contextmanager
def only(model: torch.nn.Module, answers: Answers) -> Iterator[Answers]:
    """Inside the block the head of a model, wrapped or not, sees the hidden states of answers instead of all.

    Of a model without a head of its own, or with one that gets other inputs, nothing is changed, but for a warning.
    """
    head = _bare(model).get_output_embeddings()

    def gather(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not inputs or inputs[0].dim() != 3 or tuple(inputs[0].shape[:2]) != answers.shape:
            return None
        answers.reached += 1
        return (answers.of(inputs[0]), *inputs[1:])

    hook = head.register_forward_pre_hook(gather) if head is not None else None
    try:
        yield answers
    finally:
        if hook is not None:
            hook.remove()
    if not answers.reached:
        _warn(type(_bare(model)).__name__)


def _bare(model: torch.nn.Module) -> torch.nn.Module:
    """A model without what distributes it and hides its methods."""
    while not hasattr(model, "get_output_embeddings") and hasattr(model, "module"):
        model = model.module
    return model


@cache
def _warn(name: str) -> None:
    """Once a model."""
    logger.warning(
        "the language head of %s is not reached, so logits are computed at all positions: a step takes more memory",
        name,
    )
