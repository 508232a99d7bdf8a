"""LLaVA 1.5: one square picture of a fixed size, a fixed number of image tokens."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from mmunlearn.models.base import Base


class Llava(Base):
    """Features: `features` (tokens, hidden), what the projector hands to the language model (7B: 4.7 MB a picture)."""

    family = "llava"
    architecture = "LlavaForConditionalGeneration"

    def encode(self, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Base.encode."""
        pixels = self.pixels(images)["pixel_values"]
        encoded = self.model.get_image_features(pixels, return_dict=True).pooler_output
        return [{"features": one} for one in encoded]
