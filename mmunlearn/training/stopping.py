"""The stopping rule of unlearning: a running mean over the last steps crosses a bound that was fixed before.

What ascends on the forget set (GA, GD, KL, BGD) minimises an unbounded loss: it stops once the forget set is no
better known than by chance, which is a CE of ln(vocabulary); NPO and SimNPO, whose pull fades but never ends, stop
there, too. PO and DPO stop once the refusals are learnt.

The CE is that of the loss: nats a token, by the run's `average`. BGD shows people and events in views of their own.
What counts is the CE of all forget questions of a step together, by the same average, as it is for the methods that
show both in one view: so one bound holds for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VIEWS = {"forget": ("forget", "forget_person", "forget_event"), "refusal": ("refusal",)}


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

    def reason(self, watch: str, history: Sequence[Mapping[str, Any]], vocabulary: int) -> str | None:
        """Why training should stop now, or None.

        Args:
            watch: `forget` (with `forget_person` and `forget_event`) or `refusal`.
            history: one row a step, see `watched`. Steps without such a view do not count.
        """
        values = [ce for row in history if (ce := watched(watch, row)) is not None]
        if len(values) < self.window:
            return None
        running = math.fsum(values[-self.window :]) / self.window
        if watch == "forget" and running > (bound := self.forget_bound * math.log(vocabulary)):
            return f"forget CE {running:.3f} over {self.forget_bound:g} ln(vocabulary) = {bound:.3f}"
        if watch == "refusal" and running < self.refusal_bound:
            return f"refusal CE {running:.4f} under {self.refusal_bound:g}"
        return None


def watched(watch: str, row: Mapping[str, Any]) -> float | None:
    """The CE of the views that `watch` names together; None where the step shows none.

    Args:
        row: CE by view; `average`, one of losses.AVERAGES, by default `sample`; and what is averaged by view, `samples`
            or `tokens`. Without it all views weigh the same.
    """
    views = [view for view in VIEWS[watch] if row.get(view) is not None]
    counts = row.get("tokens" if row.get("average") == "token" else "samples", {})
    weights = [counts.get(view, 1) for view in views]
    if not sum(weights):
        return None
    return math.fsum(row[view] * weight for view, weight in zip(views, weights, strict=True)) / sum(weights)
