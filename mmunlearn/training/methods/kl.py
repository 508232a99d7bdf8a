"""Gradient ascent held to the finetuned model on the retain set (PEBench, equations 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View, cross_entropy, divergence


class KL(Method):
    """-CE(forget) + KL(reference || current) on retain."""

    views = ("forget", "retain")
    reference = ("retain",)
    watch = "forget"

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return divergence(view, "retain") - cross_entropy(view, "forget")
