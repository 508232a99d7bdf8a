"""Any other image-text-to-text model of the library, through its own processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from mmunlearn.models.base import Base, Features, Stored


class Other(Base):
    """Features: `picture` (height, width, 3) uint8. The processor makes every input of every batch from it.

    Works for every processor that takes text and images together, and for LoRA on vision modules, which no cache
    of features allows. The price: one question a row, and pictures go through processor and tower each time.
    """

    family = "other"
    architecture = ""
    linears = ""
    packs = False
    frozen = False
    mixes = False  # modules may see tiles, patches or pictures instead of questions

    @property
    def stored(self) -> dict[str, Stored]:
        """See Base.stored."""
        return {"picture": Stored("uint8", (None, None, 3))}

    def prepare(self, image: Image.Image) -> dict[str, Tensor]:
        """See Base.prepare."""
        return {"picture": _pixels(image.convert("RGB"))}

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """See Base.tower: `process` runs it."""
        return list(map(dict, prepared))

    def process(self, texts: Sequence[str], rows: Sequence[Features], side: str) -> dict[str, Tensor]:
        """The model's inputs for one text and picture a row, padded at `side`: `Base.tensors`.

        Args:
            texts: rendered by the chat template, each with one image token.
            rows: the features of every row's picture.
            side: `left` or `right`.
        """
        begin = self.processor.tokenizer.bos_token
        inputs = self.processor(
            text=list(texts),
            images=[[features["picture"].numpy()] for features in rows],
            padding=True,
            padding_side=side,
            add_special_tokens=not (begin and texts[0].startswith(begin)),
            return_tensors="pt",
        )
        return self.tensors(inputs)


def _pixels(image: Image.Image) -> Tensor:
    """(height, width, 3) uint8 of an RGB picture."""
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(
        image.height, image.width, 3
    )
