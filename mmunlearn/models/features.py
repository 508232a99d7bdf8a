"""Frozen vision features, computed once a picture: the tower carries no LoRA, so they never change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmunlearn.models.loading import Base, ModelSpec, load_base
from mmunlearn.progress import progress
from mmunlearn.records import RecordError, SuiteQuestion, atomic_path, read_jsonl, read_manifest, sha256_of

logger = logging.getLogger(__name__)


def encode_images(pictures: Path, output: Path, *, spec: ModelSpec, batch: int) -> None:
    """Write the language model's image embeddings of one suite: image id -> (tokens, hidden), in its dtype.

    Args:
        pictures: images/manifest.parquet (accepted pictures), or a questions file whose rows name their pictures.
        batch: pictures a forward pass.
    """
    if pictures.suffix == ".parquet":
        listed = [row for row in read_manifest(pictures) if row.accepted]
    else:
        listed = read_jsonl(pictures, SuiteQuestion)
    wanted = {row.image_id: Picture(row.path, row.sha256, pictures) for row in listed}
    features = encode(load_base(spec), wanted, batch=batch) if wanted else {}  # the replay set may be empty
    with atomic_path(output) as temporary:
        save_file(features, temporary)
    logger.info("%d pictures", len(features))


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
                with Image.open(self.path) as image:
                    return image.convert("RGB")
            problem = "it is not the one listed"
        except (OSError, SyntaxError) as error:
            problem = str(error)
        raise RecordError(
            f"picture {self.path} is listed in {self.listed_in}, but {problem}; delete {self.listed_in} and rerun"
        )


@torch.no_grad()
def encode(base: Base, pictures: Mapping[str, Picture], *, batch: int) -> dict[str, torch.Tensor]:
    """Image id -> (tokens, hidden), what the projector hands to the language model."""
    features: dict[str, torch.Tensor] = {}
    ids = sorted(pictures)
    for start in progress(range(0, len(ids), batch), "encode", unit="batch"):
        chunk = ids[start : start + batch]
        inputs = base.processor.image_processor(
            images=[pictures[image_id].open() for image_id in chunk], return_tensors="pt"
        )
        pixels = inputs["pixel_values"].to(base.model.device, base.model.dtype)
        encoded = base.model.get_image_features(pixels, return_dict=True).pooler_output
        features |= {image_id: one.clone().contiguous() for image_id, one in zip(chunk, encoded, strict=True)}
    return features


def read_features(*paths: Path) -> dict[str, torch.Tensor]:
    """The features of several suites in one table. Raises RecordError where a file is damaged."""
    features: dict[str, torch.Tensor] = {}
    for path in paths:
        try:
            features |= load_file(path)
        except Exception as error:
            raise RecordError(f"{path} holds no features ({error}): delete it and rerun") from error
    return features
