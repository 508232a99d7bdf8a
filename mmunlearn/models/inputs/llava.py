"""LLaVA 1.5: one square picture of a fixed size, a fixed number of image tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mmunlearn.models.inputs.base import Inputs, placed

if TYPE_CHECKING:
    from PIL import Image

    from mmunlearn.models.loading import Base


class LlavaInputs(Inputs):
    """Parts: `features` (tokens, hidden), what the projector hands to the language model (7B: 4.7 MB a picture)."""

    def encode(self, base: Base, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Inputs.encode."""
        inputs = placed(base, base.processor.image_processor(images=list(images), return_tensors="pt"))
        seen = base.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
        return [{"features": one} for one in seen]
