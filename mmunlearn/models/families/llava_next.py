"""LLaVA-NeXT (LLaVA 1.6): a small view and tiles, so that image tokens depend on the picture's shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmunlearn.models.base import Base, Features


class LlavaNext(Base):
    """Features: `features` (tokens, hidden), unpadded, with the newline embeddings (7B: up to 24 MB a picture)."""

    family = "llava_next"
    architecture = "LlavaNextForConditionalGeneration"

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """See Base.tower. Tiles of all pictures lie behind each other; the model knows how many each has."""
        tiles = [tile for one in prepared for tile in one["pixel_values"]]
        encoded = self.model.get_image_features(
            torch.cat(tiles).to(self.model.device),
            image_sizes=self.stacked(prepared, "image_sizes"),
            return_dict=True,
        ).pooler_output
        return [{"features": one} for one in encoded]
