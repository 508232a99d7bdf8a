"""What differs between model families: one short description each."""

from __future__ import annotations

from dataclasses import dataclass

_LLAMA_LINEARS = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"


@dataclass(frozen=True)
class Family:
    """A family of image-text-to-text models.

    Attributes:
        name: key in the configuration.
        architecture: class of the library that a checkpoint of this family must load as.
        lora_targets: regular expression of the modules that get LoRA: linears of the language model only. Plain
            suffixes such as `q_proj` would reach the vision tower, too, and outdate every cached feature.
        packs: whether all questions of an image go behind one image prefix.
    """

    name: str
    architecture: str
    lora_targets: str
    packs: bool


FAMILIES = {
    family.name: family
    for family in (Family("llava", "LlavaForConditionalGeneration", _LLAMA_LINEARS, packs=True),)
}
