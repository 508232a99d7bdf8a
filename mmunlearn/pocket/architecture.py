"""The parts of the pocket base model: byte-level tokenizer, processor and an untrained LLaVA.

Nothing here is trained or downloaded. A checkpoint written from these parts reloads offline through
``AutoProcessor`` and ``AutoModelForImageTextToText``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

PAD, BOS, EOS, IMAGE, USER, ASSISTANT = SPECIAL_TOKENS = (
    "<pad>",
    "<s>",
    "</s>",
    "<image>",
    "USER:",
    "ASSISTANT:",
)
"""Tokens that are never split, in the order of their ids from 0."""

PIXEL_MEAN, PIXEL_STD = 0.6, 0.28
"""Mean and standard deviation of the pixels, on the scale 0 to 1, the same for the three channels."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['content'] is string %}{% set texts = [message['content']] %}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% set texts = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | list %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'ASSISTANT:' }}{% generation %}{{ ' ' + texts | join(' ') + '</s>' }}{% endgeneration %}"
    "{% else %}{{ 'USER: ' + texts | join(' ') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""A turn is ``<image>USER: question`` and ``ASSISTANT: answer</s>``; the tokenizer puts ``<s>`` in front."""


class Sizes(BaseModel):
    """Sizes of the network: pixels, units, layers and tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: int
    patch: int
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    heads: int
    vocabulary: int
    positions: int

    @property
    def grid(self) -> int:
        """Patches along one side of the picture."""
        return self.image // self.patch


def build_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, so that every Unicode text survives encoding and decoding.

    Args:
        texts: the only text whose merges are learned; repeat what should become one token.
        vocabulary: number of tokens, special tokens and the 256 bytes included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        padding_side="left",
        extra_special_tokens={"image_token": IMAGE, "user_token": USER, "assistant_token": ASSISTANT},
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> LlavaProcessor:
    """Join the tokenizer with an image processor that resizes any picture to the model's square."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    images = CLIPImageProcessor(
        size={"height": sizes.image, "width": sizes.image},
        do_center_crop=False,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=sizes.patch,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> LlavaForConditionalGeneration:
    """Build the float32 network with weights scaled for a small model; the global torch seed decides them."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=sizes.vision_width,
        intermediate_size=3 * sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.heads,
        image_size=sizes.image,
        patch_size=sizes.patch,
        projection_dim=sizes.vision_width,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.text_width,
        intermediate_size=3 * sizes.text_width,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=sizes.positions,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=sizes.grid**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    _scale_weights(model)
    return model


def _scale_weights(model: LlavaForConditionalGeneration) -> None:
    """Draw every matrix with a deviation of 1/sqrt(inputs), halved where it closes a residual branch."""
    import torch

    closing = ("o_proj", "out_proj", "down_proj", "fc2")
    for name, weight in model.named_parameters():
        if "embed" in name and weight.dim() == 2:
            deviation = 0.5 if "embed_tokens" in name else 0.3
        elif weight.dim() in (2, 4):
            deviation = weight[0].numel() ** -0.5 * (0.5 if any(part in name for part in closing) else 1.0)
        else:
            continue
        torch.nn.init.normal_(weight, std=deviation)
