"""What picture scorers are: the one protocol of the paper's networks and the pocket world's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Sight:
    """What the five scorers see in one picture (PEBench, section III-A).

    Features are (D,) float32 unit vectors, all NaN where there is nothing to embed. `faces` counts the faces;
    `face` is NaN unless there is exactly one. Ratings are higher the better.
    """

    faces: int
    face: np.ndarray
    scene: np.ndarray
    subject: np.ndarray
    distortion: float
    aesthetic: float


class Scorers(Protocol):
    """Looks at one picture at a time, so that a score never depends on a batch.

    `version` names code and weights, so that cached features are never mixed up; reading it loads no weights.
    """

    version: str

    def look(self, image: Image.Image) -> Sight:
        """The features and ratings of an RGB picture."""
        ...
