"""Qwen3-VL: patches of any picture, positions on three axes, visual embeddings added in the first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from mmunlearn.models.inputs.base import Inputs, Parts, placed

if TYPE_CHECKING:
    from PIL import Image

    from mmunlearn.models.loading import Base


class Qwen3VLInputs(Inputs):
    """Parts: `features` and `deepstack.0`, `deepstack.1`, ... (tokens, hidden) each, and `grid` (3,) int32.

    `grid` counts patches in time, height and width before they are merged. A picture takes a square of positions
    on three axes, but the text behind it goes on at the largest of them: questions restart there on all three.
    """

    def encode(self, base: Base, images: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        """See Inputs.encode. Patches of all pictures lie behind each other, never stacked."""
        inputs = placed(base, base.processor.image_processor(images=list(images), return_tensors="pt"))
        grids = inputs["image_grid_thw"]
        seen = base.model.get_image_features(inputs["pixel_values"], grids, return_dict=True)
        deep = {f"deepstack.{level}": each for level, each in enumerate(seen.deepstack_features)}
        return [
            {
                "features": seen.pooler_output[i],
                "grid": grids[i].int(),
                **{name: each[i] for name, each in deep.items()},
            }
            for i in range(len(images))
        ]

    def prefix_positions(self, base: Base, ids: Sequence[int], parts: Parts) -> list[list[int]]:
        """See Inputs.prefix_positions: the library's own three axes."""
        row = torch.tensor([ids])
        seen = (row == base.model.config.image_token_id).int()
        positions, _ = base.model.model.get_rope_index(
            row, seen, image_grid_thw=parts["grid"].cpu()[None].long()
        )
        return positions[:, 0].tolist()

    def model_inputs(self, rows: Sequence[Parts], ids: Tensor, image_token: int) -> dict[str, Any]:
        """See Inputs.model_inputs; grid and token types let generation number positions by itself."""
        levels = sum(name.startswith("deepstack.") for name in rows[0])
        seen = BaseModelOutputWithDeepstackFeatures(
            pooler_output=tuple(parts["features"] for parts in rows),
            deepstack_features=[tuple(parts[f"deepstack.{i}"] for parts in rows) for i in range(levels)],
        )
        return {
            "mm_encoder_outputs": {"image": seen},
            "image_grid_thw": torch.stack([parts["grid"] for parts in rows]).long(),
            "mm_token_type_ids": (ids == image_token).int(),
        }
