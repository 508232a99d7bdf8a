"""Negative preference optimisation (arXiv 2404.05868, section 3), plain: its authors' variants with a retain term
are not meant here. The reference is the finetuned model, as there."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.losses import negative_preference
from mmunlearn.training.methods.base import Method, positive
from mmunlearn.training.views import View


class NPO(Method):
    """Mean over forget questions of (2 / beta) (-log sigmoid(-beta log-ratio))."""

    views = ("forget",)
    reference_logp = ("forget",)
    watch = "forget"

    def __init__(self, beta: float = 0.1) -> None:
        positive(beta=beta)
        self._beta = beta

    def loss(self, view: Mapping[str, View]) -> Tensor:
        forget = view["forget"]
        return forget.mean(negative_preference(forget.logp, forget.reference_logp, self._beta))
