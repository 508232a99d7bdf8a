"""LLaVA-NeXT (LLaVA 1.6): a small view and tiles, so that image tokens depend on the picture's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mmunlearn.models.inputs.base import Inputs, placed

if TYPE_CHECKING:
    from PIL import Image

    from mmunlearn.models.loading import Base


class LlavaNextInputs(Inputs):
    """Parts: `features` (tokens, hidden), unpadded, with the newline embeddings (7B: up to 24 MB a picture)."""

    def encode(self, base: Base, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Inputs.encode. Pictures with fewer tiles are padded by the processor; the model drops the padding."""
        inputs = placed(base, base.processor.image_processor(images=list(images), return_tensors="pt"))
        seen = base.model.get_image_features(
            inputs["pixel_values"], image_sizes=inputs["image_sizes"], return_dict=True
        ).pooler_output
        return [{"features": one} for one in seen]
