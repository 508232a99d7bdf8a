"""Finetuning: cross-entropy on everything the recipe may see."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View


class Finetune(Method):
    """CE of one view: `retain` for the finetuned model, which retains everything, and the goal model, which retains
    all but its forget set; `refusal` for the reference of DPO that is trained on the refusals."""

    watch = "refusal"

    def __init__(self, view: str = "retain") -> None:
        self.views = (view,)

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return view[self.views[0]].cross_entropy
