"""An example: a picture with its questions and answers; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """An image with its questions and answers."""

    image_id: str
    turns: tuple[tuple[str, str], ...]

    def split(self) -> list[Example]:
        """The same, one question each."""
        return [Example(self.image_id, (turn,)) for turn in self.turns]
