"""Simple negative preference optimisation (arXiv 2410.07163), plain: without the retain term that its
authors add with a weight of its own. Their beta for the 5% split of TOFU is 2.5, their margin gamma 0."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.losses import simple_negative_preference
from mmunlearn.training.methods.base import Method, not_negative, positive
from mmunlearn.training.views import View


class SimNPO(Method):
    """Mean over forget questions of (2 / beta) (-log sigmoid(-(beta / length) log-probability - gamma))."""

    views = ("forget",)
    watch = "forget"

    def __init__(self, beta: float = 2.5, gamma: float = 0.0) -> None:
        positive(beta=beta)
        not_negative(gamma=gamma)
        self._beta, self._gamma = beta, gamma

    def loss(self, view: Mapping[str, View]) -> Tensor:
        forget = view["forget"]
        return forget.mean(simple_negative_preference(forget.logp, forget.lengths, self._beta, self._gamma))
