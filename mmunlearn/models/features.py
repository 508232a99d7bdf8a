"""Frozen vision features, computed once a picture: the tower carries no LoRA, so they never change."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from mmunlearn.ahead import ahead
from mmunlearn.models.base import Base, Features
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import ModelSpec, accelerator, load_base
from mmunlearn.models.picture_list import Picture, PictureList
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path

ENCODING = 1
"""Version of the features of a picture, and of the rule encode_images: what rests on them and not on their file (stages
of the lifelong phase) is made again when it is raised."""
logger = logging.getLogger(__name__)


def encode_images(output: Path, *, pictures: Path, spec: Mapping[str, Any], batch: int) -> None:
    """Write the features of every picture of one suite, in the model's dtype.

    Args:
        output: one safetensors file, as `feature_file` describes it.
        pictures: their list, as PictureList takes it.
        spec: settings of `ModelSpec`.
        batch: pictures a forward pass.
    """
    suite = PictureList(pictures)
    with atomic_path(output) as temporary:
        if suite:
            base = load_base(ModelSpec(**spec), device=accelerator())
            write_features(temporary, encode(base, suite, batch=batch), list(suite))
        else:  # the replay set may be empty
            write_features(temporary, iter(()), [])
    logger.info("%d pictures", len(suite))


def encode(base: Base, pictures: Mapping[str, Picture], *, batch: int) -> Iterator[tuple[str, Features]]:
    """Image id and features of one picture after the other, on the CPU; the next pictures are opened while the tower
    runs."""
    ids = sorted(pictures)
    chunks = [ids[start : start + batch] for start in range(0, len(ids), batch)]

    def prepare(chunk: Sequence[str]) -> list[Features]:
        return [base.prepare(pictures[image_id].open()) for image_id in chunk]

    with closing(ahead(prepare, chunks)) as prepared:
        for chunk in progress(chunks, "encode", unit="batch"):
            with torch.no_grad():
                encoded = base.tower(next(prepared))
            for image_id, features in zip(chunk, encoded, strict=True):
                yield image_id, {name: tensor.cpu() for name, tensor in features.items()}
