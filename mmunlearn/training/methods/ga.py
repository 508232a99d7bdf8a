"""Gradient ascent (PEBench, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View


class GA(Method):
    """-CE(forget)."""

    views = ("forget",)
    watch = "forget"

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return -view["forget"].cross_entropy
