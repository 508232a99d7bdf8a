"""Any other image-text-to-text model of the library, through its own processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmunlearn.models.inputs.base import Inputs, Parts, placed

if TYPE_CHECKING:
    from PIL import Image

    from mmunlearn.models.loading import Base


class ProcessedInputs(Inputs):
    """Parts: `picture` (height, width, 3) uint8. The processor makes every input of every batch from it.

    Works for every processor that takes text and images together, and for LoRA on vision modules, which no cache
    of features allows. The price: one question a row, and pictures go through processor and tower each time.
    """

    def encode(self, base: Base, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Inputs.encode."""
        return [{"picture": _pixels(image.convert("RGB"))} for image in images]

    def process(
        self, base: Base, texts: Sequence[str], rows: Sequence[Parts], side: str
    ) -> dict[str, Tensor]:
        """The model's inputs for one text and picture a row, padded at `side`; reals in the model's dtype.

        Args:
            texts: rendered by the chat template, each with one image token.
            rows: the parts of every row's picture.
            side: `left` or `right`.
        """
        begin = base.processor.tokenizer.bos_token
        inputs = base.processor(
            text=list(texts),
            images=[[parts["picture"].cpu().numpy()] for parts in rows],
            padding=True,
            padding_side=side,
            add_special_tokens=not (begin and texts[0].startswith(begin)),
            return_tensors="pt",
        )
        return placed(base, inputs)

    def model_inputs(self, rows: Sequence[Parts], ids: Tensor, image_token: int) -> dict[str, Any]:
        """Never asked: `process` makes all inputs."""
        raise NotImplementedError


def _pixels(image: Image.Image) -> Tensor:
    """(height, width, 3) uint8 of an RGB picture."""
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(
        image.height, image.width, 3
    )
