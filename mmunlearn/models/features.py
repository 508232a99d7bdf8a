"""Frozen vision features, computed once a picture: the tower carries no LoRA, so they never change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mmunlearn.models.loading import Base, ModelSpec, load_base
from mmunlearn.progress import progress
from mmunlearn.records import RecordError, SuiteQuestion, atomic_path, read_jsonl, read_manifest

logger = logging.getLogger(__name__)


def encode_images(
    manifest: Path, sets: Mapping[str, Path], outputs: Mapping[str, Path], *, spec: ModelSpec, batch: int
) -> None:
    """Write the language model's image embeddings of every suite.

    Args:
        manifest: pictures of the suite `dataset`.
        sets: suite -> questions file whose rows name their pictures.
        outputs: suite -> safetensors file of image id -> (tokens, hidden) in the model's dtype.
        batch: pictures a forward pass.
    """
    base = load_base(spec)
    pictures = {"dataset": {row.image_id: row.path for row in read_manifest(manifest) if row.accepted}}
    for suite, path in sets.items():
        pictures[suite] = {row.image_id: row.path for row in read_jsonl(path, SuiteQuestion)}
    for suite, output in outputs.items():
        features = encode(base, pictures[suite], batch=batch, what=suite)
        with atomic_path(output) as temporary:
            save_file(features, temporary)
        logger.info("%s: %d pictures", suite, len(features))


@torch.no_grad()
def encode(base: Base, pictures: Mapping[str, str], *, batch: int, what: str = "") -> dict[str, torch.Tensor]:
    """Image id -> (tokens, hidden), what the projector hands to the language model."""
    features: dict[str, torch.Tensor] = {}
    ids = sorted(pictures)
    for start in progress(range(0, len(ids), batch), f"encode {what}", unit="batch"):
        chunk = ids[start : start + batch]
        inputs = base.processor.image_processor(
            images=[_open(pictures[image_id]) for image_id in chunk], return_tensors="pt"
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


def _open(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise RecordError(f"picture {path} cannot be read ({error}): delete it and rerun") from error
