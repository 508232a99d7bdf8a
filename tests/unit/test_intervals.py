"""Intervals over clusters: their coverage, their exact ends, few clusters, and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mmunlearn.evaluation.intervals import cluster_sums, difference, interval, mean, percentiles, pooled
from mmunlearn.evaluation.metrics import summarise

DRAWING = {"seed": 3, "resamples": 1000}


def people(shares: list[float], pictures: int = 20) -> tuple[list[float], list[str]]:
    """So many pictures of each person, a share of which is 100, the others 0."""
    values = [100.0 * (at < round(share * pictures)) for share in shares for at in range(pictures)]
    return values, [f"p{number:03d}" for number in range(len(shares)) for _ in range(pictures)]


@pytest.mark.parametrize("n", [12, 30])
def test_the_interval_covers_the_truth_where_that_over_questions_does_not(n: int) -> None:
    """Of 200 draws of n people who are known on a share of their 20 pictures that is uniform in [0, 1]."""
    rng, by_person, by_question = np.random.default_rng(1), 0, 0
    for _ in range(200):
        shares = rng.uniform(size=n)
        values = 100.0 * (rng.uniform(size=(n, 20)) < shares[:, None]).ravel()
        clusters = np.repeat([f"p{number:03d}" for number in range(n)], 20)
        sums = cluster_sums(values, clusters)
        low, high = interval(sums, seed=3, resamples=300)
        by_person += low <= 50 <= high
        spread = 1.96 * values.std() / len(values) ** 0.5
        by_question += abs(values.mean() - 50) <= spread
    assert by_person / 200 >= 0.92
    assert by_question / 200 <= 0.65


def test_tails_are_those_of_student_expanded() -> None:
    """Means of 9 clusters that are drawn from a normal distribution: 2.306 deviations, times sqrt(9 / 8)."""
    drawn = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert percentiles(drawn, 9) == pytest.approx((-2.446, 2.446), abs=2e-3)


def test_people_who_are_known_or_not_make_a_wide_interval() -> None:
    """38 people: half of the questions are right because half of the people are known, not by chance a question."""
    values, clusters = people([1.0] * 19 + [0.0] * 19)
    whole = summarise(values, clusters=clusters, **DRAWING)
    assert (whole.value, whole.n, whole.clusters) == (50.0, 760, 38)
    assert 31 < whole.low < 36 and 64 < whole.high < 69
    single = summarise(values, **DRAWING)
    assert single.clusters == 760 and 45 < single.low < 47 and 53 < single.high < 55


@pytest.mark.parametrize("n", [1, 2, 5, 6, 38])
@pytest.mark.parametrize("right", [0.0, 1.0])
def test_at_0_and_100_the_bounds_are_exact(n: int, right: float) -> None:
    """Clopper and Pearson's for n clusters: 0.025^(1/n), e.g. 15.8% for 2 and 90.7% for 38."""
    values, clusters = people([right] * n)
    metric = summarise(values, clusters=clusters, **DRAWING)
    bound = 100 * 0.025 ** (1 / n)
    expected = (bound, 100.0) if right else (0.0, 100 - bound)
    assert (metric.low, metric.high) == pytest.approx(expected)


def test_where_the_clusters_of_each_stratum_agree_the_bounds_are_exact() -> None:
    """People who are all right, things who are all wrong, and a class of one: nothing that is drawn differs."""
    shares, strata = [1.0] * 6 + [0.0] * 2 + [0.5], ["people"] * 120 + ["things"] * 40 + ["one"] * 20
    sums, unseen = cluster_sums(*people(shares), strata), 1 - 0.025 ** (1 / 9)
    assert interval(sums, **DRAWING) == pytest.approx((50 - 50 * unseen, 50 + 50 * unseen))
    varied = cluster_sums(*people([0.9, *shares[1:]]), strata)
    low, high = interval(varied, **DRAWING)
    assert 45 < low < mean(varied) < high <= 50, "one that differs is drawn"


def test_few_clusters_have_the_bounds_of_so_few_draws() -> None:
    """3 of 5 people: Clopper and Pearson's 14.66 to 94.73; 20 pictures of each do not make it narrower."""
    (values, clusters), (half, person) = people([1.0] * 3 + [0.0] * 2), people([0.5])
    metric = summarise(values, clusters=clusters, **DRAWING)
    assert (metric.low, metric.value, metric.high) == pytest.approx((14.66, 60.0, 94.73), abs=0.01)
    one = summarise(half, clusters=person, **DRAWING)
    assert one.low < 2 and one.high > 98, "one person says nothing of people"


def test_a_mean_weighs_questions_and_strata_weigh_alike() -> None:
    sums = cluster_sums([100.0, 0.0, 0.0, 60.0, None], ["a", "b", "b", "a", "c"], ["x", "x", "x", "y", "y"])
    assert sums == {"x": {"a": (100.0, 1), "b": (0.0, 2)}, "y": {"a": (60.0, 1)}}
    assert mean(sums) == pytest.approx((100 / 3 + 60) / 2)
    assert mean(pooled([sums, cluster_sums([40.0], ["a"], ["y"])])) == pytest.approx((100 / 3 + 50) / 2)


def test_a_paired_difference_is_that_of_the_same_people() -> None:
    """40 people who differ much, 5 or 10 points on each: the difference is known well, the two means are not."""
    shares = [0.1 + 0.8 * number / 39 for number in range(40)]
    more = [share + (0.05 if number % 2 else 0.1) for number, share in enumerate(shares)]
    ours, theirs = (cluster_sums(*people(part)) for part in (more, shares))
    (low, _), (_, high) = (interval(sums, **DRAWING) for sums in (ours, theirs))
    assert low < high, "they overlap"
    value, low, high, n = difference(ours, theirs, **DRAWING)
    assert value == pytest.approx(mean(ours) - mean(theirs)) and n == 40
    assert value - 1.5 < low < value < high < value + 1.5
    assert difference(theirs, ours, **DRAWING)[:3] == pytest.approx((-value, -high, -low), abs=0.3)


@pytest.mark.parametrize(("n", "differs"), [(2, False), (5, False), (6, True), (20, True)])
def test_a_difference_on_every_cluster_shows_from_six_clusters_on(n: int, differs: bool) -> None:
    """As by a sign test: 2 / 2^6 is below 5%, 2 / 2^5 is not."""
    value, low, high, _ = difference(
        cluster_sums(*people([1.0] * n)), cluster_sums(*people([0.0] * n)), **DRAWING
    )
    assert value == high == 100.0 and (low > 0) is differs


def test_equal_methods_differ_by_nothing_within_the_exact_bound() -> None:
    sums = cluster_sums(*people([1.0] * 20))
    value, low, high, _ = difference(sums, sums, **DRAWING)
    assert (value, low, high) == pytest.approx((0.0, -100 * (1 - 0.025**0.05), 100 * (1 - 0.025**0.05)))


def test_a_difference_is_over_the_clusters_that_both_have() -> None:
    ours, theirs = cluster_sums([100.0, 0.0], ["a", "b"]), cluster_sums([50.0, 0.0], ["a", "c"])
    assert difference(ours, theirs, **DRAWING)[0::3] == (50.0, 1)
    with pytest.raises(ValueError, match="without a common cluster"):
        difference(ours, cluster_sums([1.0], ["z"]), **DRAWING)
