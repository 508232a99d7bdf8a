"""Preference optimisation: learn to refuse, keep the rest (PEBench, equation 2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View, cross_entropy


class PO(Method):
    """CE(refusals on forget) + CE(retain)."""

    views = ("refusal", "retain")
    watch = "refusal"

    def loss(self, view: Mapping[str, View]) -> Tensor:
        return cross_entropy(view, "refusal") + cross_entropy(view, "retain")
