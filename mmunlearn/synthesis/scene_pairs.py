"""Scenes that do not belong together: every pair of accepted pictures of an event (PEBench, section III-A, ii)."""

from __future__ import annotations

import numpy as np

BLOCK = 512


def pair_cosines(features: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Cosines of all pairs, (N, N) float32 rounded to 4 decimals, 1 on the diagonal; in blocks of rows.

    Args:
        features: (N, D), L2-normalised rows.
    """
    features = np.asarray(features, dtype=np.float64)
    rows = [features[start : start + block] @ features.T for start in range(0, len(features), block)]
    cosines = np.round(np.concatenate(rows), 4).astype(np.float32)
    np.fill_diagonal(cosines, 1.0)
    return cosines


def offenders(cosines: np.ndarray, threshold: float) -> list[int]:
    """Rows to leave out so that no pair of the others lies below the threshold, as few as a greedy choice finds.

    Each time the row with the most pairs below it goes, of several the one that is least alike the others.

    Args:
        cosines: (N, N) as `pair_cosines` gives them.
    """
    below = cosines < np.float32(threshold)
    gone: list[int] = []
    while below.any():
        worst = int(np.lexsort((cosines.sum(axis=1), -below.sum(axis=1)))[0])
        gone.append(worst)
        below[worst, :] = below[:, worst] = False
    return sorted(gone)


def lowest_pair(cosines: np.ndarray) -> np.ndarray:
    """Each row's lowest cosine with another row, (N,); NaN for a row alone."""
    if len(cosines) < 2:
        return np.full(len(cosines), np.nan)
    others = cosines.astype(np.float64)
    np.fill_diagonal(others, np.inf)
    return others.min(axis=1)
