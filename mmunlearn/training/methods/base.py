"""The base class of unlearning methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor

from mmunlearn.models.example import Example
from mmunlearn.training.schedule import Step, plan_unlearning
from mmunlearn.training.views import View


class Method:
    """A loss over the views of a step.

    Attributes:
        views: the views of a step (mmunlearn/training/views.py).
        reference: the views that need the frozen reference's logits.
        reference_logp: the views that need its summed log-probabilities; these never change, so they are computed
            once for every question and answer.
        reference_model: the finetuned model, where training starts, or the same trained on the refusals.
        watch: whose running CE stops training: that of the forget views when it rises over its bound, or that of
            the refusals when it falls under its bound.
    """

    views: tuple[str, ...]
    reference: ClassVar[tuple[str, ...]] = ()
    reference_logp: ClassVar[tuple[str, ...]] = ()
    reference_model: Literal["finetuned", "refusals"] = "finetuned"
    watch: ClassVar[Literal["forget", "refusal"]]

    def loss(self, view: Mapping[str, View]) -> Tensor:
        """The scalar to minimise. A view without questions may be absent: its term is 0."""
        raise TypeError(f"{type(self).__name__} defines no loss")

    def plan(
        self,
        person: Sequence[Example],
        event: Sequence[Example],
        retain: Sequence[Example],
        refusals: Sequence[str],
        *,
        steps: int,
        batch: int,
        seed: int,
    ) -> list[Step]:
        """What every optimizer step trains on; `person` and `event` are the forget sets, one question each, of
        which one is empty where a single target is unlearned. Raises ValueError where nothing can be drawn."""
        return plan_unlearning([*person, *event], retain, refusals, steps=steps, batch=batch, seed=seed)


def positive(**options: float) -> None:
    """Raises ValueError that names the option which is not above 0."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")


def not_negative(**options: float) -> None:
    """Raises ValueError that names the option which is below 0."""
    for name, value in options.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, not {value}")
