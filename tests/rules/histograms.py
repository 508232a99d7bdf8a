"""Scorers without weights: colour histograms, edges and contrast, which tell some of the defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

SHARP, CLEAN = 5.0, 40.0
"""Mean edge strength of a picture, below the first blurred and above the second noisy."""


class HistogramScorers:
    """Satisfies `mmunlearn.scorers.protocol.Scorers`; a blurred picture has no face."""

    version = "histogram-1"

    def __init__(self, weights: str) -> None:
        self.face = _Embedding(lambda pixels: _face(pixels[40:90, 40:90], pixels))
        self.scene = _Embedding(lambda pixels: histogram(pixels[:48]))
        self.subject = _Embedding(lambda pixels: histogram(pixels[40:90, 40:90]))
        self.distortion = _Rating(lambda pixels: 100 * min(1.0, edges(pixels) / SHARP, CLEAN / edges(pixels)))
        self.aesthetic = _Rating(lambda pixels: min(10.0, pixels.std() / 8))


class _Embedding:
    def __init__(self, look: Callable[[np.ndarray], np.ndarray]) -> None:
        self._look = look

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.stack([self._look(_pixels(image)) for image in images]).astype(np.float32)


class _Rating:
    def __init__(self, look: Callable[[np.ndarray], float]) -> None:
        self._look = look

    def rate(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.array([self._look(_pixels(image)) for image in images], np.float32)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Unit vector of 64 colours."""
    colours = (pixels // 64).reshape(-1, 3).astype(int) @ (16, 4, 1)
    counts = np.sqrt(np.bincount(colours, minlength=64))
    return counts / np.linalg.norm(counts)


def edges(pixels: np.ndarray) -> float:
    """Mean absolute Laplacian of the grey picture."""
    grey = pixels.mean(axis=2)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(4 * grey[1:-1, 1:-1] - around).mean()) + 1e-6


def _face(crop: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return histogram(crop) if edges(pixels) > SHARP / 2 else np.full(64, np.nan)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))
