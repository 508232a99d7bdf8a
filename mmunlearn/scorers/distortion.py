"""MUSIQ trained on SPAQ: blur, noise and other faults (PEBench, section III-A, distortion detection).

pyiqa, whose network this is, has a non-commercial licence.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from pyiqa.archs.musiq_arch import MUSIQ
from torchvision.transforms.functional import to_tensor

from mmunlearn.scorers.files import WEIGHTS, build, load_state


class DistortionScorer:
    """Rates technical quality as pyiqa's metric `musiq-spaq` does, from weights that hold tensors only.

    Args:
        folder: holds model.safetensors, the state dict of pyiqa's published MUSIQ trained on SPAQ.
        device: torch device.

    Raises:
        WeightsError: the file is missing, damaged or not this network's.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self._device = torch.device(device)
        network = build(lambda: MUSIQ(pretrained=False), load_state(folder), Path(folder) / WEIGHTS)
        self._network = network.to(self._device)

    @torch.inference_mode()
    def rate(self, image: Image.Image) -> float:
        """About 0 (bad) to 100 (good), not clipped, of an RGB picture of any size."""
        return float(self._network(to_tensor(image)[None].to(self._device)))
