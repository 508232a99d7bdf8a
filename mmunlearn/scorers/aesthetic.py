"""LAION's aesthetic predictor: composition, colour, realism (PEBench, section III-A, aesthetic quality).

A head on CLIP's image features: five linear layers with nothing but dropout between them
(christophschuhmann/improved-aesthetic-predictor). Trained on OpenAI's ViT-L/14.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmunlearn.scorers.files import WEIGHTS, build, load_state, refusal


class AestheticHead(nn.Module):
    """(N, D) -> (N, 1); parameters have the published file's names, `layers.N.*`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Ratings of features of length 1."""
        return self.layers(features)


class AestheticScorer:
    """Rates pictures by their CLIP features; `width` is the features' D.

    Args:
        folder: holds model.safetensors, the published head's state dict.
        device: torch device.

    Raises:
        WeightsError: the file is missing, damaged or not this network's.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        state, path = load_state(folder), Path(folder) / WEIGHTS
        first = state.get("layers.0.weight")
        if first is None or first.ndim != 2:
            raise refusal(path, "no matrix layers.0.weight, so not LAION's aesthetic head")
        self.width = first.shape[1]
        self._device = torch.device(device)
        self._head = build(lambda: AestheticHead(self.width), state, path).to(self._device)

    @torch.inference_mode()
    def rate(self, features: np.ndarray) -> np.ndarray:
        """About 0 to 10 (N,) float32, of CLIP image features (N, D) of length 1."""
        return self._head(torch.from_numpy(features).float().to(self._device))[:, 0].cpu().numpy()
