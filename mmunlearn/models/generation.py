"""Batched greedy answers: left padding, questions sorted by length, kept features instead of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import Feature
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
    features: Mapping[str, Feature],
    asks: Sequence[Ask],
    *,
    batch: int,
    what: str = "answers",
) -> list[str]:
    """Greedy answers in the order asked; equal to asking one by one (tested for every family)."""
    model.eval()
    lengths = [len(collator.prompt(ask.question, ask.image_id)) for ask in asks]
    order = sorted(range(len(asks)), key=lambda i: (asks[i].max_new_tokens, lengths[i], i))
    answers = [""] * len(asks)
    for chunk in progress(_chunks(order, asks, batch), what, unit="batch"):
        kept = [features[asks[i].image_id] for i in chunk]
        texts = _generate(model, base, collator, [asks[i] for i in chunk], kept)
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
    model: torch.nn.Module, base: Base, collator: Collator, asks: Sequence[Ask], kept: Sequence[Feature]
) -> list[str]:
    tokenizer = base.processor.tokenizer
    inputs = collator.prompts([(ask.question, ask.image_id) for ask in asks], kept)
    generated = model.generate(
        **inputs,
        max_new_tokens=asks[0].max_new_tokens,
        do_sample=False,
        repetition_penalty=1.0,  # some checkpoints ask for more: greedy is greedy
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    said = tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in said]
