"""Regenerate-until-valid: properties of the acceptance loop and the five filters."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.seeds import derive_seed
from mmunlearn.synthesis.policy import Draw, RawScores, Thresholds, best, failed_filters, until_accepted
from tests.unit.report_fixtures import candidate

PAPER = Thresholds(
    identity_l2=0.8, scene_cosine=0.3, scene_pair=0.3, subject_cosine=0.85, distortion=50, aesthetic=6
)
GOOD = RawScores(1, 0.5, 0.6, 0.9, 70.0, 6.5)
scores = st.one_of(st.none(), st.floats(-1, 2))
raw = st.builds(RawScores, st.integers(0, 3), scores, scores, scores, st.floats(0, 100), st.floats(0, 10))


def quality(cell: str, attempt: int) -> float:
    """A picture's score in [0, 1), from its cell and attempt alone."""
    return derive_seed(cell, attempt) / 2**31


def drawn(cell: str, attempt: int, failed: list[str], aesthetic: float) -> Draw:
    return Draw(candidate(cell, attempt, ", ".join(failed), aesthetic=aesthetic), np.zeros(1), failed)


def sampler(cell: str, threshold: float, log: list | None = None):
    """Draws the attempts at one cell, each judged by its quality alone."""

    def draw(attempts: range):
        if log is not None:
            log.extend((cell, k) for k in attempts)
        qualities = {k: quality(cell, k) for k in attempts}
        return [drawn(cell, k, ["aesthetic"] * (q < threshold), q) for k, q in qualities.items()]

    return draw


cells = st.text("abcdef", min_size=1, max_size=4)
limits = st.floats(0, 1)


def test_each_filter_refuses_by_name():
    assert failed_filters(GOOD, PAPER) == []
    assert failed_filters(RawScores(1, 0.81, 0.29, 0.84, 49.9, 5.9), PAPER) == [
        "identity", "scene", "subject", "distortion", "aesthetic",
    ]  # fmt: skip
    assert failed_filters(RawScores(0, None, 0.6, None, 70.0, 6.5), PAPER) == ["no face", "subject"]
    assert failed_filters(RawScores(2, None, 0.6, 0.9, 70.0, 6.5), PAPER) == ["several faces"]
    assert failed_filters(RawScores(1, None, 0.6, 0.9, 70.0, 6.5), PAPER) == ["identity"], "no reference"
    assert failed_filters(RawScores(1, 0.8, 0.3, 0.85, 50.0, 6.0), PAPER) == [], "limits themselves pass"


@given(raw, limits)
def test_a_stricter_threshold_never_accepts_more(one, stricter):
    strict = Thresholds(
        0.8 - stricter / 2, 0.3 + stricter, 0.3, 0.85 + stricter / 10, 50 + stricter, 6 + stricter
    )
    assert set(failed_filters(one, PAPER)) <= set(failed_filters(one, strict))


@given(cells, limits, st.integers(1, 4), st.integers(1, 10))
def test_a_cell_stops_at_its_first_valid_batch_or_at_the_limit(cell, threshold, batch, most):
    draws = until_accepted(sampler(cell, threshold), batch=batch, max_attempts=most)
    assert [one.candidate.attempt for one in draws] == list(range(len(draws)))
    valid = [one.candidate.attempt for one in draws if not one.failed]
    assert len(draws) <= most
    if valid:
        assert len(draws) == min(most, (valid[0] // batch + 1) * batch), "no batch after a valid one"
        assert best(draws).failed == []
    else:
        assert len(draws) == most
    assert all(quality(cell, k) >= threshold for k in valid)


class Crash(Exception):
    """The job is killed."""


def with_store(cell: str, threshold: float, store: dict, kill_after: int = 1000):
    """A sampler that keeps whole units on disk, and whose job dies after some of them are drawn."""
    draw, left = sampler(cell, threshold), [kill_after]

    def stored(attempts: range):
        if (cell, attempts) not in store:
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            store[cell, attempts] = draw(attempts)
        return store[cell, attempts]

    return stored


@given(st.lists(cells, unique=True, max_size=6), limits, st.integers(1, 3), st.integers(0, 8), st.randoms())
def test_order_crash_and_resume_change_nothing(names, threshold, batch, kill_after, random):
    def run(order, store, **crash):
        return {
            cell: until_accepted(with_store(cell, threshold, store, **crash), batch=batch, max_attempts=6)
            for cell in order
        }

    straight, store = run(names, whole := {}), {}
    with suppress(Crash):
        run(random.sample(names, len(names)), store, kill_after=kill_after)
    before = dict(store)
    assert run(random.sample(names, len(names)), store) == straight
    assert store == whole and all(store[unit] is draws for unit, draws in before.items()), (
        "nothing is drawn twice"
    )


@given(cells, st.integers(1, 4), limits, limits)
def test_a_raised_threshold_keeps_what_was_drawn_and_adds_to_it(cell, batch, one, other):
    lower, higher = sorted((one, other))
    before, after = [], []
    until_accepted(sampler(cell, lower, before), batch=batch, max_attempts=8)
    until_accepted(sampler(cell, higher, after), batch=batch, max_attempts=8)
    assert after[: len(before)] == before, "with a store, only the difference is drawn"


def test_the_best_candidate_fails_least_then_is_most_beautiful_then_is_earliest():
    draws = [
        drawn("cell", 0, ["scene", "identity"], 9.0),
        drawn("cell", 1, ["scene"], 5.0),
        drawn("cell", 2, ["scene"], 6.0),
        drawn("cell", 3, ["scene"], 6.0),
    ]
    assert best(draws).candidate.attempt == 2
