"""95% intervals of means whose samples come in clusters: the pictures of a person are not independent of each other.

Clusters, not questions, are drawn with replacement. A metric is kept as its `Sums`, from which means, intervals and
paired differences follow: stratum -> cluster -> (sum of the values, how many).

- Percentile intervals of a bootstrap are too narrow for few clusters. Their tails are those of Student's t, expanded
  by sqrt(K / (K - 1)) (Hesterberg, What Teachers Should Know about the Bootstrap, The American Statistician 2015).
- Where all clusters agree (all values are 0, or all 100), or those of each stratum, a bootstrap has no width, and of
  fewer than `FEW` clusters it says nothing. The bounds are then Clopper and Pearson's exact ones for K clusters, at
  worst each wholly right or wrong: wide, and honest. (Fewer than six show no difference by a sign test at 5% either.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

Sums = Mapping[str, Mapping[str, tuple[float, int]]]
FEW = 6  # clusters
TAIL = 0.025
AGREE = 1e-9  # means of clusters that differ by less are equal


def cluster_sums(
    values: Sequence[float | None], clusters: Sequence[str], strata: Sequence[str] | None = None
) -> Sums:
    """Sums of the values that are not None, all of equal length; without strata there is one, of empty name."""
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    labels = [""] * len(values) if strata is None else strata
    for value, cluster, stratum in sorted(
        (row for row in zip(values, clusters, labels, strict=True) if row[0] is not None),
        key=lambda row: row[1:],
    ):
        total, n = sums.setdefault(stratum, {}).get(cluster, (0.0, 0))
        sums[stratum][cluster] = (total + value, n + 1)
    return sums


def pooled(parts: Iterable[Sums]) -> Sums:
    """The sums of several seeds as one: a cluster is the same in all of them."""
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    for part in parts:
        for stratum, cells in part.items():
            of_stratum = sums.setdefault(stratum, {})
            for cluster, (total, n) in cells.items():
                before = of_stratum.get(cluster, (0.0, 0))
                of_stratum[cluster] = (before[0] + total, before[1] + n)
    return sums


def clusters_of(sums: Sums) -> list[str]:
    """The clusters of all strata, sorted."""
    return sorted({cluster for cells in sums.values() for cluster in cells})


def mean(sums: Sums) -> float:
    """Mean of the strata's means, each over its questions."""
    return float(np.mean([_mean_of(cells) for _, cells in sorted(sums.items())]))


def _mean_of(cells: Mapping[str, tuple[float, int]]) -> float:
    totals, counts = zip(*cells.values(), strict=True)
    return sum(totals) / sum(counts)


def interval(
    sums: Sums, *, seed: int, resamples: int, ends: tuple[float, float] = (0.0, 100.0)
) -> tuple[float, float]:
    """95% interval of `mean(sums)`; `ends`: the least and the largest value that there is."""
    return _interval([(1.0, sums)], mean(sums), ends, seed, resamples)


def difference(
    ours: Sums, theirs: Sums, *, seed: int, resamples: int, ends: tuple[float, float] = (-100.0, 100.0)
) -> tuple[float, float, float, int]:
    """Mean of ours minus mean of theirs, its 95% interval, and on how many clusters it rests.

    Paired: both on the clusters and strata that both have, and resampled together.

    Args:
        ends: the least and the largest difference that there is.
    Raises:
        ValueError: they have no cluster in common.
    """
    pair = [_common(ours, theirs), _common(theirs, ours)]
    if not pair[0]:
        raise ValueError(
            "two metrics without a common cluster have no paired difference; score both on one set"
        )
    value = mean(pair[0]) - mean(pair[1])
    low, high = _interval([(1.0, pair[0]), (-1.0, pair[1])], value, ends, seed, resamples)
    return value, low, high, len(clusters_of(pair[0]))


def _common(one: Sums, other: Sums) -> Sums:
    cut = {
        stratum: {cluster: cell for cluster, cell in cells.items() if cluster in other.get(stratum, {})}
        for stratum, cells in one.items()
    }
    return {stratum: cells for stratum, cells in cut.items() if cells}


def _interval(
    terms: Sequence[tuple[float, Sums]], value: float, ends: tuple[float, float], seed: int, resamples: int
) -> tuple[float, float]:
    """Interval of the sum of signed means over the same clusters."""
    clusters = clusters_of(terms[0][1])
    cells = [(sign, *_arrays(sums, clusters)) for sign, sums in terms]
    each = sum(sign * _ratio(totals, counts) for sign, totals, counts in cells)
    patterns = _patterns(terms[0][1], clusters)
    agree = _agree(each, patterns)
    if len(clusters) < FEW or agree:
        return exact(value, len(clusters), ends, agree=agree)
    weights = draws(patterns, seed, resamples)
    drawn = sum(sign * _ratio(weights @ totals, weights @ counts) for sign, totals, counts in cells)
    return percentiles(drawn, len(clusters))


def exact(value: float, n: int, ends: tuple[float, float], *, agree: bool) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a mean over n clusters.

    Where they `agree` on the value, of the share of clusters that n may leave unseen, at worst at one of the ends;
    otherwise as if each cluster were wholly at one of the ends.
    """
    from scipy.stats import beta

    least, most = ends
    if agree:
        unseen = 1 - TAIL ** (1 / n)
        return value - unseen * (value - least), value + unseen * (most - value)
    share = n * (value - least) / (most - least)
    low, high = beta.ppf([TAIL, 1 - TAIL], [share, share + 1], [n - share + 1, n - share])
    return least + float(low) * (most - least), least + float(high) * (most - least)


def percentiles(drawn: np.ndarray, n: int) -> tuple[float, float]:
    """The 95% interval of what was drawn from n clusters, its tails those of Student's t, expanded."""
    from scipy.stats import norm, t

    tail = 100 * norm.cdf(-((n / (n - 1)) ** 0.5) * t.ppf(1 - TAIL, n - 1))
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def _arrays(sums: Sums, clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(clusters, strata): sums and counts, 0 where a cluster is not in a stratum."""
    table = np.array(
        [[sums[name].get(one, (0.0, 0)) for name in sorted(sums)] for one in clusters], dtype=float
    )
    return table[..., 0], table[..., 1]


def _ratio(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the last axis, the strata, of sums by counts; strata without a count do not enter."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanmean(totals / counts, axis=-1)


def _patterns(sums: Sums, clusters: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The strata that each cluster is in: clusters are drawn among those of the same strata."""
    return tuple(tuple(name for name in sorted(sums) if one in sums[name]) for one in clusters)


def _agree(each: np.ndarray, patterns: Sequence[tuple[str, ...]]) -> bool:
    """Whether clusters of the same strata have the same value, so that no draw among them differs."""
    return all(np.ptp(each[[one == pattern for one in patterns]]) < AGREE for pattern in set(patterns))


@lru_cache(maxsize=8)
def draws(patterns: tuple[tuple[str, ...], ...], seed: int, resamples: int) -> np.ndarray:
    """(resamples, clusters): how often each cluster is drawn; the same for all methods on the same clusters.

    Args:
        patterns: the strata that each cluster is in; drawn is among clusters of the same ones.
    """
    rng, weights = np.random.default_rng(seed), np.zeros((resamples, len(patterns)))
    for pattern in sorted(set(patterns)):
        at = [index for index, one in enumerate(patterns) if one == pattern]
        weights[:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), size=resamples)
    return weights
