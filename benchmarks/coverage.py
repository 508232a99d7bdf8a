"""How often a 95% interval holds the truth: over questions, and over clusters as `evaluation.intervals` has it.

Each draw makes K people, each known on a share of their 20 pictures that is uniform in [0, 1], so that the truth is 50:
answers on one person are alike, as those of the models are.

    python benchmarks/coverage.py [DRAWS]
"""

from __future__ import annotations

import sys

import numpy as np

from mmunlearn.evaluation.intervals import cluster_sums, interval

CLUSTERS = (2, 5, 6, 8, 12, 20, 30, 38, 190)
PICTURES = 20


def coverage(clusters: int, draws: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Shares of intervals with the truth, over questions and over clusters, and the mean width of the latter."""
    by_question = by_cluster = width = 0.0
    names = np.repeat([f"p{number:03d}" for number in range(clusters)], PICTURES)
    for _ in range(draws):
        shares = rng.uniform(size=(clusters, 1))
        values = 100.0 * (rng.uniform(size=(clusters, PICTURES)) < shares).ravel()
        for over, one in ((0, names), (1, [str(at) for at in range(len(values))])):
            low, high = interval(cluster_sums(values, one), seed=1, resamples=400)
            if over:
                by_question += low <= 50 <= high
            else:
                by_cluster += low <= 50 <= high
                width += high - low
    return by_question / draws, by_cluster / draws, width / draws


def main(draws: int = 500) -> None:
    """Print a line for each number of clusters."""
    rng = np.random.default_rng(1)
    print("clusters  over questions  over clusters  mean width")
    for clusters in CLUSTERS:
        question, cluster, width = coverage(clusters, draws, rng)
        print(f"{clusters:8d}  {question:14.0%}  {cluster:13.0%}  {width:10.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
