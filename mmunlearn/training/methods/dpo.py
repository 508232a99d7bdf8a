"""Direct preference optimisation of refusals over true answers (PEBench, equations 6 and 7).

The paper's reference is "trained on the refusals"; ours is the finetuned model, where training starts, as in
TOFU: the paper's wording leaves no retain term and no such model in its own list of models.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmunlearn.training.losses import preference
from mmunlearn.training.methods.base import Method
from mmunlearn.training.views import View


class DPO(Method):
    """lambda1 CE(refusals) + lambda2 DPO(refusal over truth)."""

    views = ("refusal", "forget")
    reference = ("refusal", "forget")
    watch = "refusal"

    def __init__(self, beta: float, lambda1: float, lambda2: float) -> None:
        self._beta, self._lambda1, self._lambda2 = beta, lambda1, lambda2

    def loss(self, view: Mapping[str, View]) -> Tensor:
        refusal, truth = view["refusal"], view["forget"]
        ranked = preference(
            refusal.logp,
            refusal.reference_logp,
            truth.logp,
            truth.reference_logp,
            self._beta,
            refusal.samples,
        )
        return self._lambda1 * refusal.cross_entropy + self._lambda2 * ranked
