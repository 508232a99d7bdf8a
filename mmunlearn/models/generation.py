"""Batched greedy answers: left padding, questions sorted by length, features instead of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mmunlearn.models.collate import Collator, image_outputs
from mmunlearn.models.loading import Base
from mmunlearn.progress import progress


@dataclass(frozen=True)
class Ask:
    """A question to a picture and how long its answer may get, in tokens."""

    image_id: str
    question: str
    max_new_tokens: int


@torch.no_grad()
def answer_all(
    model: torch.nn.Module,
    base: Base,
    collator: Collator,
    features: dict[str, torch.Tensor],
    asks: Sequence[Ask],
    *,
    batch: int,
    what: str = "answers",
) -> list[str]:
    """Greedy answers in the order asked; equal to asking one by one (tested for every family)."""
    model.eval()
    prompts = [collator.prompt(ask.question, ask.image_id) for ask in asks]
    order = sorted(range(len(asks)), key=lambda i: (asks[i].max_new_tokens, len(prompts[i]), i))
    answers = [""] * len(asks)
    for chunk in progress(_chunks(order, asks, batch), what, unit="batch"):
        texts = _generate(model, base, [prompts[i] for i in chunk], [features[asks[i].image_id] for i in chunk],
                          asks[chunk[0]].max_new_tokens)  # fmt: skip
        for i, text in zip(chunk, texts, strict=True):
            answers[i] = text
    return answers


def _chunks(order: Sequence[int], asks: Sequence[Ask], batch: int) -> list[list[int]]:
    """Neighbours in `order`, at most `batch` together, never two lengths of answer."""
    chunks: list[list[int]] = []
    for i in order:
        last = chunks[-1] if chunks else None
        if last and len(last) < batch and asks[last[0]].max_new_tokens == asks[i].max_new_tokens:
            last.append(i)
        else:
            chunks.append([i])
    return chunks


def _generate(
    model: torch.nn.Module,
    base: Base,
    prompts: list[list[int]],
    features: list[torch.Tensor],
    max_new_tokens: int,
) -> list[str]:
    tokenizer = base.processor.tokenizer
    length = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (length - len(prompt)) + prompt for prompt in prompts])
    seen = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    device = base.model.device
    generated = model.generate(
        input_ids=ids.to(device),
        attention_mask=seen.to(device),
        mm_encoder_outputs=image_outputs([one.to(device) for one in features]),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
    )
    said = tokenizer.batch_decode(generated[:, length:], skip_special_tokens=True)
    return [text.strip() for text in said]
