"""A loaded base model; each family of models is a subclass that says how its pictures enter the language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import ProcessorMixin

Features = Mapping[str, Tensor]
"""What stands for a picture: tensors by name."""

LLAMA_LINEARS = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"


class Stored(NamedTuple):
    """Type, as torch names it, and shape of a tensor that is stored of a picture; None: any number."""

    dtype: str
    shape: tuple[int | None, ...]

    def fits(self, dtype: str, shape: Sequence[int]) -> bool:
        """Whether a tensor is one of these."""
        return (dtype, len(shape)) == (self.dtype, len(self.shape)) and all(
            expected in (size, None) for size, expected in zip(shape, self.shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('any' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Base:
    """A base model with its processor.

    Where a family does not say otherwise, a picture enters as embeddings in place of image tokens, and `features`
    (tokens, hidden) is stored of it: what the projector hands to the language model, in the model's dtype.

    Attributes:
        lora_targets: regular expression of full module names in place of the family's `linears`.
        family: key of FAMILIES.
        architecture: class of the library that a checkpoint of the family must load as; empty: any.
        linears: regular expression of the modules that get LoRA: linears of the language model only. Plain suffixes
            such as `q_proj` would reach the vision tower, too, and outdate every cached feature. Empty: found by
            structure.
        packs: whether all questions of an image go behind one image prefix.
        frozen: whether the vision tower is, and is run apart from the language model, so that its features can be kept;
            else processor and tower run in every forward pass, on the picture itself.
        mixes: whether a batch may mix adapters. peft goes by rows: every module with LoRA must see one a question.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    lora_targets: str | None = None

    family: ClassVar[str]
    architecture: ClassVar[str]
    linears: ClassVar[str] = LLAMA_LINEARS
    packs: ClassVar[bool] = True
    frozen: ClassVar[bool] = True
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Adjust a freshly loaded model."""

    @property
    def stored(self) -> dict[str, Stored]:
        """Name -> what `encode` makes of a picture."""
        return {"features": Stored(*self._embeddings)}

    @property
    def _embeddings(self) -> tuple[str, tuple[int | None, int]]:
        """Type and shape (tokens, hidden) of embeddings that enter the language model."""
        return str(self.model.dtype).removeprefix("torch."), (
            None,
            self.model.config.get_text_config().hidden_size,
        )

    def prepare(self, image: Image.Image) -> dict[str, Tensor]:
        """What the tower takes of a picture: the image processor's tensors on the CPU, reals in the model's dtype."""
        return self.tensors(self.processor.image_processor(images=[image], return_tensors="pt"))

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """The features of every picture, in its order; called without gradients."""
        raise NotImplementedError

    def encode(self, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """`tower` of what is prepared of the pictures."""
        return self.tower(list(map(self.prepare, images)))

    def outline(self, size: tuple[int, int]) -> Features:
        """What `image_ids` and `prefix_positions` look at, before the tower has run.

        Args:
            size: width and height of the picture, which alone decide it.
        """
        shown = self.processor(images=[Image.new("RGB", size)], text=[self.processor.image_token])
        ids = torch.tensor(shown["input_ids"])
        return {"features": torch.empty((ids == self.model.config.image_token_id).sum(), 0)}

    def stacked(self, prepared: Sequence[Features], name: str) -> Tensor:
        """A tensor of all pictures, one behind the other, where the model is."""
        return torch.cat([one[name] for one in prepared]).to(self.model.device)

    @staticmethod
    def image_ids(features: Features, image_token: int) -> list[int]:
        """The ids that stand for the picture in place of the template's one image token."""
        return [image_token] * len(features["features"])

    def prefix_positions(self, ids: Sequence[int], features: Features) -> list[list[int]]:
        """Position ids of a row's prefix, which ends with the picture: one list an axis.

        The tokens of every question go on behind the largest of them, the same on every axis.
        """
        return [list(range(len(ids)))]

    @staticmethod
    def model_inputs(rows: Sequence[Features], ids: Tensor, image_token: int) -> dict[str, Any]:
        """What the model takes beside text, in a forward pass and in generation.

        Args:
            rows: the features of every row's picture.
            ids: (B, L) input ids, image tokens expanded, padded at either side.
        """
        return {"mm_encoder_outputs": image_outputs([features["features"] for features in rows])}

    def tensors(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of a processor, those of real numbers in the model's dtype; on the CPU, so any process may make
        them."""
        dtype = self.model.dtype
        tensors = {key: value for key, value in inputs.items() if isinstance(value, Tensor)}
        return {key: one.to(dtype) if one.is_floating_point() else one for key, one in tensors.items()}


def image_outputs(features: Sequence[Tensor]) -> dict[str, BaseModelOutputWithPooling]:
    """What a model takes instead of pixels, `mm_encoder_outputs`, from one (tokens, hidden) an image."""
    return {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}
