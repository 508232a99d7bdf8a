"""What a picture scorer is: the one protocol of the paper's networks and the pocket world's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image


class EmbeddingScorer(Protocol):
    """Turns pictures into features that are compared with a reference's."""

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Features (N, D), float32, L2-normalised rows; a row of NaN where there is nothing to embed."""
        ...


class QualityScorer(Protocol):
    """Rates a picture by itself."""

    def rate(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Ratings (N,), float32, higher is better."""
        ...


class Scorers(Protocol):
    """The five filters of PEBench, section III-A: three embeddings and two ratings.

    `version` names code and weights, so that cached features are never mixed up.
    """

    version: str
    face: EmbeddingScorer
    scene: EmbeddingScorer
    subject: EmbeddingScorer
    distortion: QualityScorer
    aesthetic: QualityScorer
