"""The base class of picture generators, and the request for one picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mmunlearn.records import Prompt
from mmunlearn.seeds import derive_seed


@dataclass(frozen=True)
class DrawRequest:
    """One picture to draw. `seed` follows from base seed, image id and attempt alone."""

    image_id: str
    attempt: int
    seed: int
    guidance_scale: float
    size: int
    prompt: str
    drawing: dict[str, Any] | None

    @classmethod
    def make(
        cls, prompt: Prompt, attempt: int, *, base_seed: int, guidance_scales: Sequence[float], size: int
    ) -> DrawRequest:
        """The request of one attempt: attempt k takes the k-th guidance scale, cyclically."""
        return cls(
            image_id=prompt.image_id,
            attempt=attempt,
            seed=derive_seed(base_seed, prompt.image_id, attempt),
            guidance_scale=guidance_scales[attempt % len(guidance_scales)],
            size=size,
            prompt=prompt.prompt,
            drawing=prompt.drawing,
        )


class Generator(ABC):
    """Draws pictures in units: successive attempts at one prompt, which are always asked for together.

    The same unit gives the same pictures. (A batch of other composition may round differently on a GPU, so units
    never depend on shards, restarts or thresholds.) `name` goes into the manifest; `version` names everything else
    that shapes a picture (weights, settings, pools), and reading it loads no weights.
    """

    name: str
    version: str

    @abstractmethod
    def __init__(
        self, prompts: Sequence[Prompt], options: Mapping[str, Any], *, seed: int, work: Path
    ) -> None:
        """`prompts`: every prompt of the data set; `options`: the backend's own keys (`images.<backend>`) and `device`;
        `work`: folder of resumable files."""

    def prepare(self, prompts: Sequence[Prompt]) -> None:  # noqa: B027 - most generators have nothing to prepare
        """What is cheaper once for all prompts that a job will draw; called before the first `draw`."""

    @abstractmethod
    def draw(self, unit: Sequence[DrawRequest]) -> list[Image.Image]:
        """RGB pictures of size x size pixels, in the order of the requests."""
