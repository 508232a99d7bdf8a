"""Tiny untrained checkpoints of the four families in their on-disk format: the real classes, in a second each.

Templates and special tokens are those of the real checkpoints. Weights are large enough for pictures to matter,
and Llama's gates, which begin at 0, are open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.tiny import TEXT

LLAVA = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
VICUNA = "{{ 'A chat between a curious human and an artificial intelligence assistant. ' }}" + LLAVA
MLLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + message['role'].replace('assistant', 'model') + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SIDE, PATCH = 28, 14
CLIP = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": SIDE, "patch_size": PATCH, "projection_dim": 32,
}  # fmt: skip


def write_vlm(family: str, folder: Path, seed: int = 0, texts: Iterable[str] = TEXT) -> Path:
    """Write config, safetensors, tokenizer, template and processor of a tiny model.

    Args:
        family: llava, mllama, llava_next or qwen3_vl.
        texts: what the tokenizer learns its merges from; it encodes any other text, too.
    """
    import torch

    torch.manual_seed(seed)
    model, processor = BUILDERS[family](list(texts))
    _scale_weights(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def _scale_weights(model: Any) -> None:
    """Normal weights of deviation 1/sqrt(inputs), embeddings of 0.5, open gates."""
    import torch

    for name, weight in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.constant_(weight, 0.5)
        elif weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5 if "embed" in name else weight[0].numel() ** -0.5)


def _tokenizer(
    texts: list[str],
    specials: Sequence[str],
    bos: str | None,
    eos: str,
    pad: str,
    extra: Mapping[str, str] | None = None,
) -> Any:
    """Byte-level BPE; a begin token goes in front of every text, as in the Llama families."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        padding_side="left",
        extra_special_tokens=dict(extra or {}),
    )


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


def _vicuna_tokenizer(texts: list[str]) -> Any:
    specials = ("<unk>", "<s>", "</s>", "<image>", "<pad>")
    return _tokenizer(texts, specials, "<s>", "</s>", "<pad>", {"image_token": "<image>"})


def _llava(texts: list[str]) -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _vicuna_tokenizer(texts)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**_text(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )
    return LlavaForConditionalGeneration(config), processor


def _llava_next(texts: list[str]) -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = _vicuna_tokenizer(texts)
    grids = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**_text(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
    )
    images = LlavaNextImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=grids
    )
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )
    return LlavaNextForConditionalGeneration(config), processor


def _mllama(texts: list[str]) -> tuple[Any, Any]:
    """As in the real model, the image token lies outside the output layer's vocabulary."""
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessor,
        MllamaProcessor,
    )
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig

    begin, end, pad = "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"
    specials = (begin, "<|end_of_text|>", end, pad, "<|start_header_id|>", "<|end_header_id|>")
    tokenizer = _tokenizer(texts, specials, begin, end, pad)
    text = _text(tokenizer, num_hidden_layers=3)
    tokenizer.add_tokens(["<|image|>"], special_tokens=True)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    vision = MllamaVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_global_layers=1, attention_heads=2, intermediate_size=64,
        vision_output_dim=64, image_size=SIDE, patch_size=PATCH, intermediate_layers_indices=[0],
        max_num_tiles=4,
    )  # fmt: skip
    config = MllamaConfig(
        text_config=MllamaTextConfig(**text, cross_attention_layers=[1], rope_parameters=rope),
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    images = MllamaImageProcessor(size={"height": SIDE, "width": SIDE}, max_image_tiles=4)
    return MllamaForConditionalGeneration(config), MllamaProcessor(images, tokenizer, chat_template=MLLAMA)


def _qwen3_vl(texts: list[str]) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
    )
    from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig, Qwen3VLVisionConfig
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    specials = (
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>",
    )  # fmt: skip
    tokenizer = _tokenizer(texts, specials, None, "<|im_end|>", "<|endoftext|>")
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    }
    vision = Qwen3VLVisionConfig(
        depth=3, hidden_size=32, intermediate_size=64, num_heads=2, patch_size=8, spatial_merge_size=2,
        temporal_patch_size=2, out_hidden_size=32, num_position_embeddings=64, deepstack_visual_indexes=[0, 1],
    )  # fmt: skip
    token = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config=Qwen3VLTextConfig(**_text(tokenizer), head_dim=16, rope_parameters=rope),
        vision_config=vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    images = Qwen2VLImageProcessor(**patches, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64})
    videos = Qwen3VLVideoProcessor(**patches)
    return Qwen3VLForConditionalGeneration(config), Qwen3VLProcessor(
        images, tokenizer, videos, chat_template=QWEN
    )


def write_gemma(folder: Path, texts: Iterable[str] = TEXT) -> Path:
    """A tiny Gemma 3, which is no family of ours: its template's image token is not its image token."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    names = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    specials = ("<pad>", "<eos>", "<bos>", "<end_of_turn>", "<start_of_turn>", *names.values())
    tokenizer = _tokenizer(list(texts), specials, "<bos>", "<end_of_turn>", "<pad>", extra=names)
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, vision_use_head=False,
    )  # fmt: skip
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**_text(tokenizer), head_dim=16, tie_word_embeddings=False),
        vision_config=vision,
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        image_token_id=tokenizer.convert_tokens_to_ids(names["image_token"]),
        boi_token_index=tokenizer.convert_tokens_to_ids(names["boi_token"]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(names["eoi_token"]),
    )
    images = Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE})
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    _scale_weights(model)
    model.save_pretrained(folder)
    Gemma3Processor(images, tokenizer, chat_template=GEMMA, image_seq_length=4).save_pretrained(folder)
    return Path(folder)


BUILDERS: dict[str, Callable[[list[str]], tuple[Any, Any]]] = {
    "llava": _llava,
    "mllama": _mllama,
    "llava_next": _llava_next,
    "qwen3_vl": _qwen3_vl,
}


def load_vlm(family: str, folder: Path, **more: Any) -> Any:
    """The checkpoint through the project's own loader, in float32 unless told."""
    from mmunlearn.models.loading import ModelSpec, load_base

    return load_base(ModelSpec(family, str(folder), **{"dtype": "float32", **more}))


def pictures(seed: int = 0) -> dict[str, Any]:
    """Three noisy RGB pictures of different shapes by their id."""
    import numpy
    from PIL import Image

    rng = numpy.random.default_rng(seed)
    sizes = {"p0": (40, 60), "p1": (56, 24), "p2": (64, 64)}
    return {key: Image.fromarray(rng.integers(0, 255, (*size, 3), "uint8")) for key, size in sizes.items()}


def features_of(base: Any, seed: int = 0) -> dict[str, Any]:
    """Image id -> features of the pictures."""
    import torch

    shapes = pictures(seed)
    with torch.no_grad():
        return dict(zip(shapes, base.encode(list(shapes.values())), strict=True))
