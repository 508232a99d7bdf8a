"""The vision tower in the loop, of models whose features are not kept on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import torch

from mmunlearn.models.base import Base, Features
from mmunlearn.models.families import RECENT
from mmunlearn.models.picture_list import Picture


class Tower:
    """Features of listed pictures, made when they are asked for; those of RECENT pictures stay at hand.

    The tower is frozen: it runs without gradient and dropout and in the model's own dtype, whatever autocast is on, as
    where features are written to a file. It sees one picture at a time, so that a picture's features are the same bits
    in whatever company it is shown, in a job that goes on after it was killed, and in any number of processes.
    """

    def __init__(self, base: Base, pictures: Mapping[str, Picture]) -> None:
        self._base, self._pictures = base, pictures
        self._outline = lru_cache(maxsize=None)(base.outline)
        self.pixels = lru_cache(maxsize=RECENT)(self._pixels)
        self._recent: dict[str, Features] = {}

    def outline(self, image_id: str) -> Features:
        """What a layout needs of a picture's features; of the file nothing is read but its header."""
        return self._outline(self._pictures[image_id].size())

    def _pixels(self, image_id: str) -> Features:
        """What the tower takes of a picture, on the CPU: any process may make it.

        Raises:
            RecordError: the picture is missing, damaged or another than listed.
        """
        return self._base.prepare(self._pictures[image_id].open())

    def features(self, image_id: str, pixels: Features | None = None) -> Features:
        """A picture's features, where the model is. Raises as `pixels`, which are made where they are not given."""
        features = self._recent.pop(image_id, None)
        if features is None:
            with torch.no_grad(), _still(self._base.model):
                (made,) = self._base.tower([self._pixels(image_id) if pixels is None else pixels])
            features = {name: one.detach() for name, one in made.items()}
        self._recent[image_id] = features
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        return features

    def release(self) -> None:
        """Give back what is at hand."""
        self._recent.clear()
        self.pixels.cache_clear()


@contextmanager
def _still(model: torch.nn.Module) -> Iterator[None]:
    """Neither dropout nor autocast while the block runs."""
    training = [one for one in model.modules() if one.training]
    for one in training:
        one.training = False
    try:
        with torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        for one in training:
            one.training = True
