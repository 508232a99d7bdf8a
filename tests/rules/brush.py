"""Stands before the pocket generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from mmunlearn.pocket.generator import PocketGenerator


@dataclass
class Brush:
    """Stands before the generator: lists what it draws, and breaks after some pictures."""

    drawn: list[tuple[str, int]] = field(default_factory=list)
    breaks_after: int = 1000

    def held_by(self, draw: Callable[..., list[Image.Image]]) -> Callable[..., list[Image.Image]]:
        def one_by_one(generator: PocketGenerator, requests: Sequence[Any]) -> list[Image.Image]:
            return [self._draw(draw, generator, request) for request in requests]

        return one_by_one

    def _draw(
        self, draw: Callable[..., list[Image.Image]], generator: PocketGenerator, request: Any
    ) -> Image.Image:
        if len(self.drawn) == self.breaks_after:
            raise RuntimeError("the brush broke")
        self.drawn.append((request.image_id, request.attempt))
        return draw(generator, [request])[0]
