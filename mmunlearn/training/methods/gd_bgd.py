"""Balanced gradient difference over GD (PEBench, equation 8 with the CE of equation 3)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.bgd import BGD
from mmunlearn.training.views import View, cross_entropy


class GDBGD(BGD):
    """-alpha CE(forget person) - beta CE(forget event) + gamma CE(retain)."""

    def retain(self, view: Mapping[str, View]) -> Tensor | float:
        return cross_entropy(view, "retain")
