"""What an unlearning method is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from mmunlearn.training.views import View


class Method:
    """A loss over the views of a step.

    Attributes:
        views: what a step shows: `forget` (the questions to forget with their true answers), `refusal` (the
            same questions with refusals), `retain` (pictures of the retain set with all their questions).
        reference: the views that need the frozen finetuned model's logits.
        watch: the view whose running CE stops training: `forget` when it rises over its bound, `refusal`
            when it falls under its bound.
    """

    views: ClassVar[tuple[str, ...]]
    reference: ClassVar[tuple[str, ...]] = ()
    watch: ClassVar[Literal["forget", "refusal"]]

    def loss(self, view: Mapping[str, View]) -> Tensor:
        """The scalar to minimise."""
        raise TypeError(f"{type(self).__name__} defines no loss")
