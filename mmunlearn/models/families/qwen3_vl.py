"""Qwen3-VL: patches of any picture, positions on three axes, visual embeddings added in the first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from mmunlearn.models.base import Base, Features, Stored


class Qwen3VL(Base):
    """Features: `features` and `deepstack.0`, `deepstack.1`, ... (tokens, hidden) each, and `grid` (3,) int32.

    `grid` counts patches in time, height and width before they are merged. A picture takes a square of positions
    on three axes, but the text behind it goes on at the largest of them: questions restart there on all three.
    """

    family = "qwen3_vl"
    architecture = "Qwen3VLForConditionalGeneration"

    @property
    def stored(self) -> dict[str, Stored]:
        """See Base.stored."""
        levels = range(len(self.model.config.vision_config.deepstack_visual_indexes))
        deep = {f"deepstack.{level}": Stored(*self._embeddings) for level in levels}
        return {**super().stored, **deep, "grid": Stored("int32", (3,))}

    def tower(self, prepared: Sequence[Features]) -> list[dict[str, Tensor]]:
        """See Base.tower. Patches of all pictures lie behind each other, never stacked."""
        grids = self.stacked(prepared, "image_grid_thw")
        encoded = self.model.get_image_features(
            self.stacked(prepared, "pixel_values"), grids, return_dict=True
        )
        deep = {f"deepstack.{level}": each for level, each in enumerate(encoded.deepstack_features)}
        return [
            {
                "features": encoded.pooler_output[i],
                "grid": grids[i].int(),
                **{name: each[i] for name, each in deep.items()},
            }
            for i in range(len(prepared))
        ]

    def outline(self, size: tuple[int, int]) -> Features:
        """See Base.outline."""
        (grid,) = self.prepare(Image.new("RGB", size))["image_grid_thw"]
        return {**super().outline(size), "grid": grid.int()}

    def prefix_positions(self, ids: Sequence[int], features: Features) -> list[list[int]]:
        """See Base.prefix_positions: the library's own three axes."""
        row, grid = torch.tensor([ids]), features["grid"].cpu()[None].long()
        types = (row == self.model.config.image_token_id).int()
        positions, _ = self.model.model.get_rope_index(row, types, image_grid_thw=grid)
        return positions[:, 0].tolist()

    @staticmethod
    def model_inputs(rows: Sequence[Features], ids: Tensor, image_token: int) -> dict[str, Any]:
        """See Base.model_inputs; grid and token types let generation number positions by itself."""
        levels = sum(name.startswith("deepstack.") for name in rows[0])
        encoded = BaseModelOutputWithDeepstackFeatures(
            pooler_output=tuple(row["features"] for row in rows),
            deepstack_features=[tuple(row[f"deepstack.{i}"] for row in rows) for i in range(levels)],
        )
        return {
            "mm_encoder_outputs": {"image": encoded},
            "image_grid_thw": torch.stack([row["grid"] for row in rows]).long(),
            "mm_token_type_ids": (ids == image_token).int(),
        }
