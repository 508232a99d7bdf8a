"""Finetuning: cross-entropy on everything the recipe may see."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View


class Finetune(Method):
    """CE(retain); the finetuned model retains everything, the goal model all but its forget set."""

    views = ("retain",)

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return view["retain"].cross_entropy
