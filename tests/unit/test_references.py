"""The references and distances of the filters hold whatever the features are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmunlearn.synthesis.references import cosine, l2, medoid, scene_cosine, typical

values = st.floats(-10, 10, width=32)
tables = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=values)
seeds = st.integers(0, 2**32 - 1)


def _unit(rng: np.random.Generator, rows: int, size: int = 8) -> np.ndarray:
    table = rng.normal(size=(rows, size))
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def _spread(features: np.ndarray, index: int) -> float:
    return np.linalg.norm(features.astype(float) - features[index], axis=1).sum()


@given(tables)
def test_medoid_has_the_smallest_sum_of_distances(features):
    best = min(_spread(features, index) for index in range(len(features)))
    assert _spread(features, medoid(features)) == pytest.approx(best, abs=1e-6)


@given(tables, seeds)
def test_medoid_does_not_depend_on_order_up_to_ties(features, seed):
    shuffled = np.random.default_rng(seed).permutation(features)
    assert _spread(features, medoid(features)) == pytest.approx(_spread(shuffled, medoid(shuffled)), abs=1e-6)


@given(st.integers(2, 12), seeds)
def test_medoid_is_never_one_of_a_minority_of_outliers(count, seed):
    rng = np.random.default_rng(seed)
    group = rng.normal(size=8) + rng.uniform(-0.01, 0.01, size=(count, 8))
    outliers = rng.normal(size=(count - 1, 8)) + 20 * _unit(rng, count - 1)
    order = rng.permutation(2 * count - 1)
    assert order[medoid(np.concatenate([group, outliers])[order])] < count


@given(tables, seeds)
def test_medoid_ignores_rows_of_nan(features, seed):
    where = np.random.default_rng(seed).integers(0, len(features) + 1, size=3)
    holed = np.insert(features, where, np.nan, axis=0)
    np.testing.assert_array_equal(holed[medoid(holed)], features[medoid(features)])


@pytest.mark.parametrize("features", [np.full((3, 2), np.nan), np.empty((0, 4))])
def test_medoid_of_nothing_says_so(features):
    with pytest.raises(ValueError, match=r"medoid of \d features: none.*Draw more"):
        medoid(features)


@given(tables)
def test_l2_of_the_reference_itself_is_zero_and_nan_stays_nan(features):
    assert l2(features, features[0])[0] == 0
    holed = np.vstack([features, np.full_like(features[:1], np.nan)])
    np.testing.assert_array_equal(np.isnan(l2(holed, features[0])), np.arange(len(holed)) == len(features))


@given(seeds, st.floats(0.1, 10))
def test_cosine_ignores_length_and_fits_l2_of_unit_rows(seed, factor):
    features = _unit(np.random.default_rng(seed), 5)
    expected = 1 - l2(features, features[0]) ** 2 / 2
    np.testing.assert_allclose(cosine(features * factor, features[0]), expected, atol=1e-12)


def test_cosine_is_nan_where_there_is_no_feature():
    assert np.isnan(cosine(np.array([[0.0, 0.0], [np.nan, np.nan]]), np.array([1.0, 0.0]))).all()


@given(seeds)
def test_scene_cosine_with_one_reference_is_the_cosine(seed):
    features = _unit(np.random.default_rng(seed), 6)
    np.testing.assert_allclose(scene_cosine(features, features[:1]), cosine(features, features[0]))


@given(seeds)
def test_two_bad_references_of_five_leave_the_score_among_the_good(seed):
    rng = np.random.default_rng(seed)
    features, good, bad = _unit(rng, 7), _unit(rng, 3), _unit(rng, 2)
    reference = rng.permutation(np.vstack([good, bad]))
    score, each = scene_cosine(features, reference), np.array([cosine(features, row) for row in good])
    assert (score >= each.min(axis=0) - 1e-12).all() and (score <= each.max(axis=0) + 1e-12).all()


@given(seeds)
def test_scene_cosine_ignores_references_of_nan(seed):
    features = _unit(np.random.default_rng(seed), 6)
    holed = np.vstack([features[:3], np.full((2, 8), np.nan)])
    np.testing.assert_array_equal(scene_cosine(features, holed), scene_cosine(features, features[:3]))


def test_scene_cosine_without_a_reference_says_so():
    with pytest.raises(ValueError, match=r"scene cosine: an event needs at least one reference.*Draw more"):
        scene_cosine(np.ones((2, 3)), np.full((2, 3), np.nan))


def test_a_person_is_not_represented_by_a_picture_with_an_odd_subject():
    """Faces are all alike, and the one in the middle has a subject feature like no other."""
    faces = np.array([[np.cos(t), np.sin(t)] for t in (-0.02, -0.01, 0.0, 0.01, 0.02)])
    subjects = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert medoid(faces) == 2
    assert typical(faces, subjects) in (1, 3)
