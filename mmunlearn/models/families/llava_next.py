"""LLaVA-NeXT (LLaVA 1.6): a small view and tiles, so that image tokens depend on the picture's shape."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from mmunlearn.models.base import Base


class LlavaNext(Base):
    """Features: `features` (tokens, hidden), unpadded, with the newline embeddings (7B: up to 24 MB a picture)."""

    family = "llava_next"
    architecture = "LlavaNextForConditionalGeneration"

    def encode(self, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Base.encode. Pictures with fewer tiles are padded by the processor; the model drops the padding."""
        pixels = self.pixels(images)
        encoded = self.model.get_image_features(
            pixels["pixel_values"], image_sizes=pixels["image_sizes"], return_dict=True
        ).pooler_output
        return [{"features": one} for one in encoded]
