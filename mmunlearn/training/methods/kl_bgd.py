"""Balanced gradient difference over KL (PEBench, equation 8 with the divergence of equation 4)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.bgd import BGD
from mmunlearn.training.views import View, divergence


class KLBGD(BGD):
    """-alpha CE(forget person) - beta CE(forget event) + gamma KL(reference || current) on retain."""

    reference = ("retain",)

    def retain(self, view: Mapping[str, View]) -> Tensor | float:
        return divergence(view, "retain")
