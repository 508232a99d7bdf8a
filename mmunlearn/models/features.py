"""Frozen vision features, computed once a picture: the tower carries no LoRA, so they never change."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmunlearn.models.base import Base, Features
from mmunlearn.models.feature_file import write_features
from mmunlearn.models.loading import ModelSpec, accelerator, load_base
from mmunlearn.pictures import open_picture
from mmunlearn.progress import progress
from mmunlearn.records import PictureRow, RecordError, atomic_path, read_jsonl, read_manifest, sha256_of

ENCODING = 1
"""Version of the features of a picture, and of the rule encode_images: what rests on them and not on their file (stages
of the lifelong phase) is made again when it is raised."""
logger = logging.getLogger(__name__)


def encode_images(output: Path, *, pictures: Path, spec: Mapping[str, Any], batch: int) -> None:
    """Write the features of every picture of one suite, in the model's dtype.

    Args:
        output: one safetensors file, as `feature_file` describes it.
        pictures: images/manifest.parquet (accepted pictures), or JSON lines of rows that name their pictures.
        spec: settings of `ModelSpec`.
        batch: pictures a forward pass.
    """
    if pictures.suffix == ".parquet":
        rows = [row for row in read_manifest(pictures) if row.accepted]
    else:
        rows = read_jsonl(pictures, PictureRow)
    suite = {row.image_id: Picture(row.path, row.sha256, pictures) for row in rows}
    with atomic_path(output) as temporary:
        if suite:
            base = load_base(ModelSpec(**spec), device=accelerator())
            write_features(temporary, encode(base, suite, batch=batch), list(suite))
        else:  # the replay set may be empty
            write_features(temporary, iter(()), [])
    logger.info("%d pictures", len(suite))


@dataclass(frozen=True)
class Picture:
    """A picture, the checksum it must have, and the file that says so."""

    path: str
    sha256: str
    listed_in: Path

    def open(self) -> Image.Image:
        """The picture in RGB. Raises RecordError where it is missing, damaged or another than listed."""
        try:
            if sha256_of(self.path) == self.sha256:
                return open_picture(self.path)
            problem = "it is not the one listed"
        except (OSError, RecordError) as error:
            problem = str(error)
        raise RecordError(
            f"picture {self.path} is listed in {self.listed_in}, but {problem}; run the rule that wrote the latter "
            f"again (--forcerun)"
        )


def encode(base: Base, pictures: Mapping[str, Picture], *, batch: int) -> Iterator[tuple[str, Features]]:
    """Image id and features of one picture after the other, on the CPU."""
    ids = sorted(pictures)
    for start in progress(range(0, len(ids), batch), "encode", unit="batch"):
        chunk = ids[start : start + batch]
        with torch.no_grad():
            encoded = base.encode([pictures[image_id].open() for image_id in chunk])
        for image_id, features in zip(chunk, encoded, strict=True):
            yield image_id, {name: tensor.cpu() for name, tensor in features.items()}
