"""Untrained weights of the paper's five scorers in their on-disk forms: the real classes, small where they can be.

FaceNet and MUSIQ exist in one size only (110 MB each); the others are tiny.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 32,
        "quick_gelu": False,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}

# As facebook/dino-vitb16 has it, but for the size.
DINO_PROCESSOR = {
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "size": 32,
}

PUBLISHED = {
    "face": "20180402-114759-vggface2.pt",
    "distortion": "musiq_spaq_ckpt-358bb6af.pth",
    "aesthetic": "sac+logos+ava1-l14-linearMSE.pth",
}


def write_scorers(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Write all five, each into a folder of its own: options `face` to `aesthetic` of `NetworkScorers`."""
    import torch

    folders = {name: folder / name for name in ("face", "scene", "subject", "distortion", "aesthetic")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _save(_facenet(), folders["face"])
        _save(_musiq(), folders["distortion"])
        _save(_aesthetic(CLIP_CONFIG["model_cfg"]["embed_dim"]), folders["aesthetic"])
        write_clip(folders["scene"])
        write_dino(folders["subject"])
    return folders


def write_published(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Write the pickles as published: FaceNet with its `logits`, MUSIQ and the head for features of 768."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        facenet = _facenet()
        logits = {"logits.weight": torch.rand(8631, 512), "logits.bias": torch.rand(8631)}
        states = {"face": facenet | logits, "distortion": _musiq(), "aesthetic": _aesthetic(768)}
    for name, state in states.items():
        torch.save(state, folder / PUBLISHED[name])
    return {name: folder / file for name, file in PUBLISHED.items()}


def write_clip(folder: Path) -> Path:
    """Write a CLIP in open_clip's hub layout."""
    from open_clip.model import CLIP

    _save(CLIP(**CLIP_CONFIG["model_cfg"]).state_dict(), folder, "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    return folder


def write_dino(folder: Path) -> Path:
    """Write a ViT without pooler and its picture processor as the hub has DINO's."""
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = ViTConfig(**sizes, image_size=32, patch_size=8)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(DINO_PROCESSOR))
    return folder


def _facenet() -> dict[str, Tensor]:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None).state_dict()


def _musiq() -> dict[str, Tensor]:
    from pyiqa.archs.musiq_arch import MUSIQ

    return MUSIQ(pretrained=False).state_dict()


def _aesthetic(width: int) -> dict[str, Tensor]:
    from mmunlearn.scorers.aesthetic import AestheticHead

    return AestheticHead(width).state_dict()


def _save(state: dict[str, Tensor], folder: Path, name: str = "model.safetensors") -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / name, metadata={"format": "pt"}
    )
