"""What a family must say about its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

if TYPE_CHECKING:
    from PIL import Image

    from mmunlearn.models.loading import Base

Parts = Mapping[str, Tensor]
"""What is kept of a picture, by name."""


class Inputs:
    """A picture enters the language model as embeddings in place of image tokens.

    Parts: `features` (tokens, hidden), what the projector hands to the language model, in the model's dtype.
    """

    def prepare(self, model: Any) -> None:
        """Adjust a freshly loaded model."""

    def encode(self, base: Base, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """The parts of every picture, in its order; called without gradients."""
        raise NotImplementedError

    def image_ids(self, parts: Parts, image_token: int) -> list[int]:
        """The ids that stand for the picture in place of the template's one image token."""
        return [image_token] * len(parts["features"])

    def prefix_positions(self, base: Base, ids: Sequence[int], parts: Parts) -> list[list[int]]:
        """Position ids of a row's prefix, which ends with the picture: one list an axis.

        The tokens of every question go on behind the largest of them, the same on every axis.
        """
        return [list(range(len(ids)))]

    def model_inputs(self, rows: Sequence[Parts], ids: Tensor, image_token: int) -> dict[str, Any]:
        """What the model takes beside text, in a forward pass and in generation.

        Args:
            rows: the parts of every row's picture.
            ids: (B, L) input ids, image tokens expanded, padded at either side.
        """
        return {"mm_encoder_outputs": image_outputs([parts["features"] for parts in rows])}


def image_outputs(features: Sequence[Tensor]) -> dict[str, BaseModelOutputWithPooling]:
    """What a model takes instead of pixels, `mm_encoder_outputs`, from one (tokens, hidden) an image."""
    return {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}


def placed(base: Base, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a processor where the model is, those of real numbers in its dtype."""
    device, dtype = base.model.device, base.model.dtype
    tensors = {key: value for key, value in inputs.items() if isinstance(value, Tensor)}
    return {
        key: one.to(device, dtype) if one.is_floating_point() else one.to(device)
        for key, one in tensors.items()
    }
