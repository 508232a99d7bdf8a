"""Pairs of scenes: all are compared, in whatever blocks, and few pictures go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.synthesis.scene_pairs import lowest_pair, offenders, pair_cosines

seeds = st.integers(0, 2**32 - 1)


def unit(seed: int, rows: int, size: int = 3) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(rows, size))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@given(seeds, st.integers(1, 20), st.integers(1, 25))
def test_blocks_change_nothing_and_every_pair_is_there(seed, rows, block):
    features = unit(seed, rows)
    whole = pair_cosines(features)
    np.testing.assert_array_equal(whole, pair_cosines(features, block))
    for i in range(rows):
        for j in range(rows):
            assert whole[i, j] == pytest.approx(1.0 if i == j else features[i] @ features[j], abs=6e-5)


@given(seeds, st.integers(1, 20), st.floats(-0.9, 0.9))
def test_no_pair_of_those_that_stay_is_too_unlike(seed, rows, threshold):
    cosines = pair_cosines(unit(seed, rows))
    gone = offenders(cosines, threshold)
    stay = np.setdiff1d(np.arange(rows), gone)
    assert len(stay) >= 1
    assert (cosines[np.ix_(stay, stay)] >= np.float32(threshold)).all()


def test_one_odd_picture_goes_and_its_partners_stay():
    features = np.array([[1, 0], [0.99, 0.14], [0, 1], [0.98, 0.2]], dtype=float)
    assert offenders(pair_cosines(features), 0.5) == [2]
    assert offenders(pair_cosines(features[[0, 1, 3]]), 0.5) == []


def test_the_lowest_pair_is_with_another_picture():
    cosines = pair_cosines(np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=float))
    np.testing.assert_allclose(lowest_pair(cosines), [0.0, 0.6, 0.0], atol=1e-6)
    assert np.isnan(lowest_pair(pair_cosines(np.array([[1.0, 0.0]])))).all(), "alone, there is no pair"
