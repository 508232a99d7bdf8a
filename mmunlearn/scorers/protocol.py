"""What picture scorers are: the base of the paper's networks and of the pocket world's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Measurements:
    """What the five scorers measure in one picture (PEBench, section III-A).

    Features are (D,) float32 unit vectors, all NaN where there is nothing to embed. `faces` counts the faces;
    `face` is NaN unless there is exactly one. Ratings are higher the better.
    """

    faces: int
    face: np.ndarray
    scene: np.ndarray
    subject: np.ndarray
    distortion: float
    aesthetic: float


class Scorers(ABC):
    """Measures one picture at a time, so that a score never depends on a batch.

    `version` names code and weights, so that cached features are never mixed up; reading it loads no weights.
    """

    version: str

    @abstractmethod
    def __init__(self, options: Mapping[str, Any]) -> None:
        """`options`: the backend's own keys (`images.<backend>`) and `device`."""

    @abstractmethod
    def measure(self, image: Image.Image) -> Measurements:
        """The features and ratings of an RGB picture."""
