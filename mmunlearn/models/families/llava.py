"""LLaVA 1.5: one square picture of a fixed size, a fixed number of image tokens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmunlearn.models.base import Base, Features


class Llava(Base):
    """Features: `features` (tokens, hidden), what the projector hands to the language model (7B: 4.7 MB a picture)."""

    family = "llava"
    architecture = "LlavaForConditionalGeneration"

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """See Base.tower."""
        pixels = self.stacked(prepared, "pixel_values")
        encoded = self.model.get_image_features(pixels, return_dict=True).pooler_output
        return [{"features": one} for one in encoded]
