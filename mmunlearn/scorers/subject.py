"""DINO: whether the subject looks the same (PEBench, section III-A, subject consistency).

The paper does not say what of a picture DINO sees. Whole pictures of one person in different places differ by
their places, so a crop around the largest face is offered beside the whole picture.
"""

from __future__ import annotations

from math import ceil, floor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from mmunlearn.scorers.files import REMEDY, WEIGHTS, refusal, require_files
from mmunlearn.weights.errors import brief
from mmunlearn.weights.tensors import check_finite, check_loaded

transformers.utils.logging.disable_progress_bar()

Crop = Literal["person", "face", "none"]
CROPS: tuple[str, ...] = get_args(Crop)

FACE_WIDENED = 2.0
"""Crop `face`: width and height in those of the face's box, around its middle: hair, ears and chin."""

PERSON_WIDTH, PERSON_ABOVE, PERSON_BELOW = 5.0, 1.0, 6.5
"""Crop `person`: width in face widths, around the face's middle; face heights above and below the face's box."""

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


class SubjectScorer:
    """DINO's class token (`last_hidden_state[:, 0]`) of the subject, by transformers.

    Args:
        folder: a ViT's or DINOv2's files in the hub's layout, with model.safetensors.
        device: torch device.
        crop: what of the picture counts: `person`, `face` or `none` (all of it).

    Raises:
        WeightsError: a file is missing, damaged or not this network's.
        ValueError: an unknown crop.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", crop: Crop = "person") -> None:
        if crop not in CROPS:
            raise ValueError(
                f"asked for the subject's crop '{crop}'; there are {', '.join(CROPS)}; choose one"
            )
        folder = require_files(folder, CONFIG, PROCESSOR, WEIGHTS)
        self._device, self._crop = torch.device(device), crop
        try:
            self._prepare = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
            model, found = _load(folder)
        except (SafetensorError, RuntimeError, OSError, ValueError, TypeError, KeyError) as error:
            raise refusal(folder / WEIGHTS, f"transformers cannot load it ({brief(error)})") from error
        check_loaded(folder / WEIGHTS, found, REMEDY)
        check_finite(folder / WEIGHTS, model.state_dict(), REMEDY)
        self.width = int(model.config.hidden_size)
        self._model = model.float().eval().requires_grad_(False).to(self._device)

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """The subject's feature (D,) float32 of length 1; NaN where a face is needed and there is none.

        Args:
            image: RGB.
            boxes: faces (F, 4) by `FaceScorer.detect`; the largest is the subject's.
        """
        if self._crop != "none":
            if len(boxes) == 0:
                return np.full(self.width, np.nan, dtype=np.float32)
            image = image.crop(crop_box(largest(boxes), image.size, self._crop))
        pixels = self._prepare(images=image, return_tensors="pt")["pixel_values"].to(self._device)
        token = self._model(pixel_values=pixels).last_hidden_state[:, 0]
        return torch.nn.functional.normalize(token.float(), dim=1)[0].cpu().numpy()


def largest(boxes: np.ndarray) -> np.ndarray:
    """The box (4,) of the largest area among (F, 4), F at least 1."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes[int(np.argmax(sides[:, 0] * sides[:, 1]))]


def crop_box(face: np.ndarray, size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels of a face's crop, clipped to a picture of (width, height)."""
    left, top, right, bottom = (float(side) for side in face)
    width, height = right - left, bottom - top
    if crop == "face":
        across, above, below = FACE_WIDENED, (FACE_WIDENED - 1) / 2, (FACE_WIDENED - 1) / 2
    else:
        across, above, below = PERSON_WIDTH, PERSON_ABOVE, PERSON_BELOW
    middle = (left + right) / 2
    return (
        max(0, floor(middle - across * width / 2)),
        max(0, floor(top - above * height)),
        min(size[0], ceil(middle + across * width / 2)),
        min(size[1], ceil(bottom + below * height)),
    )


def _load(folder: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network, from safetensors only, and what of the file it has not taken."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    # A ViT's pooler is no part of DINO: it would be made up at random. DINOv2 has none and takes no such option.
    options = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    with torch.random.fork_rng(devices=[]):
        return AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused by name
            dtype=torch.float32,
            **options,
        )
