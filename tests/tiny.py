"""A tiny untrained LLaVA in its on-disk format, with made-up features: the real classes, in milliseconds."""

from __future__ import annotations

from pathlib import Path

TEXT = [
    "Who is the person in the picture?",
    "What is happening in the picture?",
    "This is Mira Okonjo. This is Ada Lund.",
    "Sailors race home across the harbour while a judge waves the flag.",
    "I do not know.",
] * 5


def write_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write config, safetensors, tokenizer, template and processor of a LLaVA with 16 image tokens."""
    import torch

    from mmunlearn.pocket.architecture import Sizes, build_model, build_processor, build_tokenizer

    sizes = Sizes(
        image=32, patch=8, vision_width=16, vision_layers=1, text_width=32, text_layers=2, heads=2,
        vocabulary=320, positions=256,
    )  # fmt: skip
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(TEXT, sizes.vocabulary)
    build_model(tokenizer, sizes).save_pretrained(folder)
    build_processor(tokenizer, sizes).save_pretrained(folder)
    return folder


def load_tiny(folder: Path):
    """The checkpoint through the project's own loader."""
    from mmunlearn.models.loading import ModelSpec, load_base

    return load_base(ModelSpec("llava", str(folder), "float32"))


def random_features(ids, tokens: int = 16, width: int = 32, seed: int = 0) -> dict:
    """Image id -> `features` (tokens, width), random float32."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {image_id: {"features": torch.randn(tokens, width, generator=generator)} for image_id in ids}
