"""A budget in calls and in currency that holds over retries, threads, jobs and reruns.

Before every attempt its greatest possible cost is set aside, and taken back to the real one when the reply says what
it used. So neither bound is ever passed within a job, and what a killed job had written down as set aside stays
counted: it may have been billed. `live_calls` says what a kill can leave uncounted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmunlearn.chat import Reply
from mmunlearn.evaluation.verdict_store import Spending

MARGIN = 64
"""Tokens that a server may add around the messages: no text has more tokens than bytes."""


class Unaffordable(Exception):
    """One more attempt could pass the budget; the message is the key of the configuration that forbids it."""


class Budget:
    """What may still be spent. Safe to share between threads.

    Args:
        own: spending of this judge so far.
        total: spending of all judges of the store so far, this one's included.
        max_calls: attempts at most, of all judges; None for no bound.
        max_cost: currency at most, of all judges; None for no bound.
        prompt_price, completion_price: currency for a million tokens.
    """

    def __init__(
        self,
        own: Spending,
        total: Spending,
        *,
        max_calls: int | None,
        max_cost: float | None,
        prompt_price: float,
        completion_price: float,
    ) -> None:
        self._own, self._lock = own, threading.Lock()
        self._others = Spending(calls=total.calls - own.calls, cost=total.cost - own.cost)
        self.max_calls, self.max_cost = max_calls, max_cost
        self._prices = prompt_price / 1e6, completion_price / 1e6

    def bound(self, body: Mapping[str, Any]) -> float:
        """The most that one attempt at a request can cost."""
        size = len(json.dumps(body, ensure_ascii=False).encode()) + MARGIN
        return size * self._prices[0] + body["max_completion_tokens"] * self._prices[1]

    def admit(self, bound: float, calls: int = 1) -> None:
        """Set aside attempts of that cost together. Raises Unaffordable, and sets nothing aside."""
        with self._lock:
            count, cost = self._others.calls + self._own.calls, self._others.cost + self._own.cost
            if self.max_calls is not None and count + calls > self.max_calls:
                raise Unaffordable("max_calls")
            if self.max_cost is not None and cost + bound > self.max_cost:
                raise Unaffordable("max_cost")
            self._own.calls += calls
            self._own.cost += bound

    def settle(self, bound: float, reply: Reply | None, refused: bool) -> None:
        """Replace what was set aside by what a reply used; by nothing where the server refused; leave it where nobody
        knows (no usage in the reply, a broken connection)."""
        tokens = [reply and reply.tokens(name) for name in ("prompt_tokens", "completion_tokens")]
        with self._lock:
            if refused:
                self._own.cost -= bound
            elif None not in tokens:
                self._own.prompt_tokens += tokens[0]
                self._own.completion_tokens += tokens[1]
                self._own.cost += tokens[0] * self._prices[0] + tokens[1] * self._prices[1] - bound

    def release(self, bound: float, calls: int = 0) -> None:
        """Take back what was set aside."""
        with self._lock:
            self._own.cost -= bound
            self._own.calls -= calls

    @property
    def spending(self) -> Spending:
        """Of this judge, with what is set aside."""
        with self._lock:
            return replace(self._own, cost=max(self._own.cost, 0.0))

    def __str__(self) -> str:
        with self._lock:
            calls, cost = self._others.calls + self._own.calls, self._others.cost + self._own.cost
        bounds = [f"{calls} calls" + (f" of {self.max_calls}" if self.max_calls is not None else "")]
        bounds.append(
            f"a cost of {cost:.4f}" + (f" of {self.max_cost:g}" if self.max_cost is not None else "")
        )
        return " and ".join(bounds)


class CallMeter:
    """Meters one call whose first attempt is set aside beforehand, by `reserve`."""

    def __init__(self, budget: Budget, bound: float) -> None:
        self._budget, self._bound, self._reserved = budget, bound, False

    def reserve(self) -> None:
        """Set the first attempt aside. Raises Unaffordable."""
        self._budget.admit(self._bound)
        self._reserved = True

    def cancel(self) -> None:
        """Take the first attempt back where it was never made."""
        if self._reserved:
            self._budget.release(self._bound, calls=1)
        self._reserved = False

    def admit(self) -> None:
        """Before an attempt. Raises Unaffordable."""
        if not self._reserved:
            self._budget.admit(self._bound)
        self._reserved = False

    def settle(self, reply: Reply | None, refused: bool) -> None:
        """After an attempt."""
        self._budget.settle(self._bound, reply, refused)
