"""Balanced gradient difference: person and event are forgotten together, each with its own weight and share
(PEBench, section IV-E, equation 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmunlearn.models.example import Example
from mmunlearn.training.methods.base import Method, not_negative
from mmunlearn.training.schedule import Step, plan_balanced
from mmunlearn.training.views import View, cross_entropy


class BGD(Method):
    """-alpha CE(forget person) - beta CE(forget event) + gamma retain; what retains is the subclass's.

    The events' share of a step's forget questions grows by `event_growth` a step, from 0 up to `event_cap`.
    """

    views = ("forget_person", "forget_event", "retain")
    watch = "forget"

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.2,
        gamma: float = 0.5,
        event_growth: float = 0.05,
        event_cap: float = 0.5,
    ) -> None:
        not_negative(alpha=alpha, beta=beta, gamma=gamma, event_growth=event_growth)
        if not 0 <= event_cap <= 1:
            raise ValueError(f"event_cap must lie in [0, 1], not {event_cap}")
        self._alpha, self._beta, self._gamma = alpha, beta, gamma
        self._growth, self._cap = event_growth, event_cap

    def retain(self, view: Mapping[str, View]) -> Tensor | float:
        """The term that keeps what is not forgotten."""
        raise TypeError(f"{type(self).__name__} defines no retain term")

    def loss(self, view: Mapping[str, View]) -> Tensor:
        person, event = cross_entropy(view, "forget_person"), cross_entropy(view, "forget_event")
        return self._gamma * self.retain(view) - self._alpha * person - self._beta * event

    def plan(
        self,
        person: Sequence[Example],
        event: Sequence[Example],
        retain: Sequence[Example],
        refusals: Sequence[str],
        **loop: Any,
    ) -> list[Step]:
        return plan_balanced(person, event, retain, event_growth=self._growth, event_cap=self._cap, **loop)
