"""Gradient difference (PEBench, equation 3)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View, cross_entropy


class GD(Method):
    """-CE(forget) + CE(retain)."""

    views = ("forget", "retain")
    watch = "forget"

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return cross_entropy(view, "retain") - cross_entropy(view, "forget")
