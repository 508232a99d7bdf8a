"""Stopping: a running mean against a bound that was fixed before."""

from __future__ import annotations

import math

from mmunlearn.training.stopping import Stopping

RULE = Stopping(window=2, forget_bound=1.5, refusal_bound=0.1)


def history(view, *values):
    return [{view: value} for value in values]


def test_the_forget_bound_is_a_multiple_of_chance():
    chance = math.log(500)
    assert RULE.reason("forget", history("forget", 1.4 * chance, 1.59 * chance), 500) is None
    assert "forget CE" in RULE.reason("forget", history("forget", 0, 1.5 * chance, 1.6 * chance), 500)


def test_the_refusal_bound_is_passed_from_above():
    assert RULE.reason("refusal", history("refusal", 0.05, 0.2), 500) is None
    assert "refusal CE" in RULE.reason("refusal", history("refusal", 3.0, 0.09, 0.08), 500)


def test_nothing_stops_before_the_window_is_full():
    assert RULE.reason("forget", history("forget", 1e9), 500) is None
