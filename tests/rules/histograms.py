"""Scorers without weights: colour histograms, edges and contrast, which tell some of the defects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mmunlearn.scorers.protocol import Measurements, Scorers

SHARP, CLEAN = 5.0, 40.0
"""Mean edge strength of a picture, below the first blurred and above the second noisy."""


class HistogramScorers(Scorers):
    """A blurred picture has no face."""

    version = "histogram-1"

    def __init__(self, options: Mapping[str, Any]) -> None:
        pass

    def measure(self, image: Image.Image) -> Measurements:
        pixels = np.asarray(image.convert("RGB"))
        middle = histogram(pixels[40:90, 40:90])
        blurred = edges(pixels) <= SHARP / 2
        return Measurements(
            faces=int(not blurred),
            face=np.full_like(middle, np.nan) if blurred else middle,
            scene=histogram(pixels[:48]),
            subject=middle,
            distortion=100 * min(1.0, edges(pixels) / SHARP, CLEAN / edges(pixels)),
            aesthetic=min(10.0, float(pixels.std()) / 8),
        )


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Unit vector of 64 colours."""
    colours = (pixels // 64).reshape(-1, 3).astype(int) @ (16, 4, 1)
    counts = np.sqrt(np.bincount(colours, minlength=64))
    return (counts / np.linalg.norm(counts)).astype(np.float32)


def edges(pixels: np.ndarray) -> float:
    """Mean absolute Laplacian of the grey picture."""
    grey = pixels.mean(axis=2)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(4 * grey[1:-1, 1:-1] - around).mean()) + 1e-6
