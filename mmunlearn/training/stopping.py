"""When unlearning stops: a running mean over the last steps crosses a bound that was fixed before.

GA, GD and KL minimise an unbounded loss: they stop once the forget set is no better known than by chance,
which is a CE of ln(vocabulary). PO and DPO stop once the refusals are learnt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """Bounds on running means.

    Attributes:
        window: optimizer steps of the running mean.
        forget_bound: multiple of ln(vocabulary) that the forget CE may reach.
        refusal_bound: CE in nats a token under which the refusals count as learnt.
    """

    window: int
    forget_bound: float
    refusal_bound: float

    def reason(self, watch: str, history: Sequence[Mapping[str, float]], vocabulary: int) -> str | None:
        """Why training should stop now, or None.

        Args:
            watch: `forget` or `refusal`.
            history: one row a step with the CE of every view under its name.
        """
        if len(history) < self.window:
            return None
        running = math.fsum(row[watch] for row in history[-self.window :]) / self.window
        if watch == "forget" and running > (bound := self.forget_bound * math.log(vocabulary)):
            return f"forget CE {running:.3f} over {self.forget_bound:g} ln(vocabulary) = {bound:.3f}"
        if watch == "refusal" and running < self.refusal_bound:
            return f"refusal CE {running:.4f} under {self.refusal_bound:g}"
        return None
