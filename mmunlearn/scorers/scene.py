"""CLIP: whether two pictures show one scene (PEBench, section III-A, background consistency)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors import SafetensorError

from mmunlearn.scorers.files import REMEDY, refusal, require_files
from mmunlearn.weights.errors import brief
from mmunlearn.weights.tensors import check_finite

CONFIG, CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""Files of a CLIP in open_clip's hub layout."""


class SceneScorer:
    """CLIP features of pictures and texts by open_clip.

    Args:
        folder: holds open_clip_config.json and open_clip_model.safetensors, and the tokenizer's files where the
            config names one that is not CLIP's own.
        device: torch device.
        quick_gelu: compute OpenAI's approximation of GELU, as their weights were trained, even where the config
            does not say so; False leaves it to the config.

    Raises:
        WeightsError: a file is missing, damaged or not this network's.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", quick_gelu: bool = True) -> None:
        folder, self._device = require_files(folder, CONFIG, CLIP_WEIGHTS), torch.device(device)
        name = f"local-dir:{folder}"
        try:
            with torch.random.fork_rng(devices=[]):
                model, self._transform = open_clip.create_model_from_pretrained(
                    name, force_quick_gelu=quick_gelu, weights_only=True
                )
            self._tokenize = open_clip.get_tokenizer(name)
            self.width = int(open_clip.get_model_config(name)["embed_dim"])
        except (SafetensorError, RuntimeError, OSError, ValueError, TypeError, KeyError) as error:
            raise refusal(folder / CLIP_WEIGHTS, f"open_clip cannot load it ({brief(error)})") from error
        check_finite(folder / CLIP_WEIGHTS, model.state_dict(), REMEDY)
        self._model = model.float().eval().requires_grad_(False).to(self._device)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image], batch: int = 16) -> np.ndarray:
        """Features (N, D) float32 of length 1 of RGB pictures, `batch` of them at a time."""
        rows = [
            self._model.encode_image(torch.stack([self._transform(image) for image in part]).to(self._device))
            for part in _parts(images, batch)
        ]
        return self._unit(rows)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Features (N, D) float32 of length 1 of texts, cut to CLIP's context, `batch` of them at a time."""
        rows = [
            self._model.encode_text(self._tokenize(list(part)).to(self._device))
            for part in _parts(texts, batch)
        ]
        return self._unit(rows)

    def _unit(self, rows: list[torch.Tensor]) -> np.ndarray:
        if not rows:
            return np.empty((0, self.width), dtype=np.float32)
        return torch.nn.functional.normalize(torch.cat(rows).float(), dim=1).cpu().numpy()


def _parts(items: Sequence, size: int) -> list[Sequence]:
    return [items[start : start + size] for start in range(0, len(items), size)]
