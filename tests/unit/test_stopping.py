"""Stopping: a running mean against a bound that was fixed before."""

from __future__ import annotations

import math

import pytest

from mmunlearn.training.stopping import Stopping, watched

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


@pytest.mark.parametrize("average", ["sample", "token"])
def test_the_views_of_bgd_count_together_by_the_same_average(average):
    chance = math.log(500)
    quarters = {"forget_person": 10, "forget_event": 30, "retain": 7}
    halves = {"forget_person": 5, "forget_event": 5, "retain": 7}
    counts = {
        "sample": {"samples": quarters, "tokens": halves},
        "token": {"samples": halves, "tokens": quarters},
    }

    def row(person, event):
        return {
            "forget_person": person * chance,
            "forget_event": event * chance,
            "retain": 99.0,
            "average": average,
            **counts[average],
        }

    assert RULE.reason("forget", [row(3.0, 0.9)] * 2, 500) is None
    assert "forget CE" in RULE.reason("forget", [row(3.0, 1.1)] * 2, 500)
    assert watched("forget", row(3.0, 0.9)) == pytest.approx((0.25 * 3.0 + 0.75 * 0.9) * chance)


def test_a_view_that_a_step_does_not_show_is_left_out():
    assert watched("forget", {"forget_person": 2.0}) == 2.0
    assert watched("forget", {"forget_person": 2.0, "forget_event": 3.0}) == 2.5
    assert watched("forget", {"forget_person": None, "retain": 1.0}) is None
    assert RULE.reason("forget", [{"forget": 1e9}, {"retain": 0.0}], 500) is None
