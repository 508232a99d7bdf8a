"""Direct preference optimisation of refusals over true answers (PEBench, equations 6 and 7).

The paper's reference is "trained on the refusals"; by default ours is the finetuned model, where training starts, as
in TOFU, for a model trained on the refusals is in no list of the paper's models. `reference: refusals` is the paper's,
and that of presets/paper.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from mmunlearn.training.losses import preference
from mmunlearn.training.methods.base import Method, not_negative, positive
from mmunlearn.training.views import View


class DPO(Method):
    """lambda1 CE(refusals) + lambda2 DPO(refusal over truth)."""

    views = ("refusal", "forget")
    reference_logp = ("refusal", "forget")
    watch = "refusal"

    def __init__(
        self,
        beta: float = 0.1,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        reference: Literal["finetuned", "refusals"] = "finetuned",
    ) -> None:
        positive(beta=beta)
        not_negative(lambda1=lambda1, lambda2=lambda2)
        if reference not in ("finetuned", "refusals"):
            raise ValueError(f"reference must be finetuned or refusals, not '{reference}'")
        self._beta, self._lambda1, self._lambda2 = beta, lambda1, lambda2
        self.reference_model = reference

    def loss(self, view: Mapping[str, View]) -> Tensor:
        refusal, truth = view["refusal"], view["forget"]
        ranked = preference(
            refusal.logp, refusal.reference_logp, truth.logp, truth.reference_logp, self._beta
        )
        return self._lambda1 * refusal.cross_entropy + self._lambda2 * refusal.mean(ranked)
