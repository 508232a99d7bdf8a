"""What differs between model families: one short description each. How their pictures enter is in `inputs`."""

from __future__ import annotations

from dataclasses import dataclass

_LLAMA_LINEARS = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"


@dataclass(frozen=True)
class Family:
    """A family of image-text-to-text models.

    Attributes:
        name: key in the configuration and in `inputs.INPUTS`.
        architecture: class of the library that a checkpoint of this family must load as; empty: any.
        lora_targets: regular expression of the modules that get LoRA: linears of the language model only. Plain
            suffixes such as `q_proj` would reach the vision tower, too, and outdate every cached feature. Empty:
            found by structure.
        packs: whether all questions of an image go behind one image prefix.
        caches: whether frozen features are kept of a picture; else the picture itself is, and processor and tower
            run in every forward pass.
    """

    name: str
    architecture: str
    lora_targets: str = _LLAMA_LINEARS
    packs: bool = True
    caches: bool = True


FAMILIES = {
    family.name: family
    for family in (
        Family("llava", "LlavaForConditionalGeneration"),
        Family(
            "mllama",
            "MllamaForConditionalGeneration",
            lora_targets=_LLAMA_LINEARS.replace("self_attn", "(self|cross)_attn"),
        ),
        Family("llava_next", "LlavaNextForConditionalGeneration"),
        Family("qwen3_vl", "Qwen3VLForConditionalGeneration"),
        Family("other", "", lora_targets="", packs=False, caches=False),
    )
}
