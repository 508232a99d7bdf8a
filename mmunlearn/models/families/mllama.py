"""Llama 3.2 Vision: the picture stays outside the text; some layers of the language model look at it."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from mmunlearn.models.base import LLAMA_LINEARS, Base, Features, Stored


class Mllama(Base):
    """Features: `states` (tiles, patches, hidden), what the cross-attention layers see, and `tiles` (tiles,) int32.

    `tiles` is 1 for the tiles that the picture fills. The others are there, too, because the tokens before the
    picture attend to all of them (11B: 52 MB a picture, which the tower makes sooner than a disk gives them).
    Questions behind one prefix share the states; a token's cross-attention sees the picture only, never other tokens,
    so packing is exact. The id of the one image token lies outside the vocabulary of the output layer and must never
    be a label.
    """

    family = "mllama"
    architecture = "MllamaForConditionalGeneration"
    linears = LLAMA_LINEARS.replace("self_attn", "(self|cross)_attn")

    def __post_init__(self) -> None:
        """Let generation start from states: the library hands them on at every step, where they would pile up."""
        self.model.prepare_inputs_for_generation = MethodType(_states_at_first, self.model)

    @property
    def stored(self) -> dict[str, Stored]:
        """See Base.stored."""
        dtype, shape = self._embeddings
        return {"states": Stored(dtype, (None, *shape)), "tiles": Stored("int32", (None,))}

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """See Base.tower."""
        model, filled = self.model.model, self.stacked(prepared, "aspect_ratio_mask")
        encoded = model.vision_model(
            pixel_values=self.stacked(prepared, "pixel_values"),
            aspect_ratio_ids=self.stacked(prepared, "aspect_ratio_ids"),
            aspect_ratio_mask=filled,
        ).last_hidden_state
        states = model.multi_modal_projector(encoded)[:, 0]
        return [
            {"states": one, "tiles": tiles.int()} for one, tiles in zip(states, filled[:, 0], strict=True)
        ]

    def outline(self, size: tuple[int, int]) -> Features:
        """See Base.outline: a picture is one token, whatever its size."""
        return {}

    @staticmethod
    def image_ids(features: Features, image_token: int) -> list[int]:
        """See Base.image_ids."""
        return [image_token]

    @staticmethod
    def model_inputs(rows: Sequence[Features], ids: Tensor, image_token: int) -> dict[str, Any]:
        """See Base.model_inputs: tokens from the image token on look at the tiles that the picture fills. States are
        one row a question, as `Base.mixes` asks for: the model takes them so or a row a tile."""
        behind = ((ids == image_token).cumsum(1) > 0).to(ids.dtype)
        tiles = torch.stack([features["tiles"] for features in rows]).to(ids.dtype)
        return {
            "cross_attention_states": torch.stack([features["states"].flatten(0, 1) for features in rows]),
            "cross_attention_mask": behind[:, :, None, None] * tiles[:, None, None, :],
        }


def _states_at_first(
    model: Any,
    input_ids: Any = None,
    is_first_iteration: bool = False,
    cross_attention_states: Any = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """`prepare_inputs_for_generation` with the states at the first step only; then they lie in the cache."""
    inputs = type(model).prepare_inputs_for_generation(
        model, input_ids, is_first_iteration=is_first_iteration, **kwargs
    )
    if is_first_iteration:
        inputs["cross_attention_states"] = cross_attention_states
    return inputs
