"""Gradient difference (PEBench, equation 3)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View


class GD(Method):
    """-CE(forget) + CE(retain)."""

    views = ("forget", "retain")
    watch = "forget"

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return view["retain"].cross_entropy - view["forget"].cross_entropy
