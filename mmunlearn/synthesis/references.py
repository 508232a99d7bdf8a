"""What a picture is compared with: the reference of a person or an event, and the distance to it.

PEBench (section III-A) compares every picture with a reference picture. Here the references come from the
candidates themselves, of which some are defective, so each choice withstands a minority of bad ones: a person's
reference is the medoid of the first pictures, an event's is several pictures of which the median cosine counts.

All functions take float arrays of one feature a row; a row of NaN means that there was nothing to embed, and
its score is NaN.
"""

from __future__ import annotations

import numpy as np


def medoid(features: np.ndarray) -> int:
    """Index of the row with the smallest sum of L2 distances to all others; the first one of a tie.

    Fewer than half of the rows being far off cannot make one of them the medoid of a tight group.

    Args:
        features: (N, D); rows of NaN are ignored.

    Raises:
        ValueError: every row is NaN, or there is none.
    """
    features = np.asarray(features, dtype=np.float64)
    present = np.flatnonzero(~np.isnan(features).any(axis=-1)) if features.size else np.empty(0, int)
    if present.size == 0:
        raise ValueError(
            f"medoid of {len(features)} features: none of them is a feature (all NaN), so there is no reference. "
            "Draw more candidates, or check that the scorer finds its subject in these pictures."
        )
    rows = features[present]
    total = [np.linalg.norm(rows - row, axis=1).sum() for row in rows]
    return int(present[np.argmin(np.round(total, 9))])


def typical(faces: np.ndarray, subjects: np.ndarray) -> int:
    """Index of the picture that stands for a person: the medoid over face and subject features together.

    The faces' medoid alone may, by bad luck, be a picture with an odd subject feature, which would then refuse
    all others.

    Args:
        faces, subjects: (N, D) each, L2-normalised rows; pictures with a row of NaN in either are ignored.

    Raises:
        ValueError: as `medoid`.
    """
    return medoid(np.hstack([faces, subjects]))


def l2(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """L2 distances (N,) float64 of rows (N, D) to one reference (D,); 0 to 2 for unit rows."""
    difference = np.asarray(features, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return np.linalg.norm(difference, axis=-1)


def cosine(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosines (N,) float64 of rows (N, D) with one reference (D,), -1 to 1; NaN for a row of zeros."""
    features, reference = np.asarray(features, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    length = np.linalg.norm(features, axis=-1) * np.linalg.norm(reference)
    return np.divide(features @ reference, length, out=np.full(len(features), np.nan), where=length > 0)


def scene_cosine(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Median over K references of the cosine with each, (N,) float64.

    Fewer than half of the references being bad leaves the score among the cosines with good ones.

    Args:
        features: (N, D).
        reference: (K, D); rows of NaN are ignored.

    Raises:
        ValueError: no reference is a feature.
    """
    reference = np.asarray(reference, dtype=np.float64)
    reference = reference[~np.isnan(reference).any(axis=-1)] if reference.size else reference[:0]
    if len(reference) == 0:
        raise ValueError(
            "scene cosine: an event needs at least one reference feature, and none of those given is one (all NaN). "
            "Draw more candidates of the event."
        )
    return np.median([cosine(features, row) for row in reference], axis=0)
