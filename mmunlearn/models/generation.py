"""Batched greedy answers: left padding, questions sorted by length, kept features instead of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class Kept(Protocol):
    """Batches that are answered already: number -> texts, in the batch's order. A dictionary is one."""

    def get(self, number: int) -> list[str] | None:
        """The texts of a batch, None where it is still to be asked."""
        ...

    def __setitem__(self, number: int, texts: list[str]) -> None: ...


@torch.no_grad()
def answer_all(
    model: torch.nn.Module,
    base: Base,
    collator: Collator,
    features: Mapping[str, Feature],
    asks: Sequence[Ask],
    *,
    batch: int = 1,
    batches: Sequence[Sequence[int]] | None = None,
    kept: Kept | None = None,
    what: str = "answers",
) -> list[str]:
    """Greedy answers in the order asked; equal to asking one by one (tested for every family).

    Args:
        batch: questions asked at once at most.
        batches: of `batches_of`, where they are known; `batch` is not used then.
        kept: its batches are not asked again; it takes the others, one after the other.
    """
    model.eval()
    kept = {} if kept is None else kept
    answers = [""] * len(asks)
    planned = batches_of(collator, asks, batch) if batches is None else batches
    for number, chunk in enumerate(progress(planned, what, unit="batch")):
        texts = kept.get(number)
        if texts is None:
            pictures = [features[asks[i].image_id] for i in chunk]
            texts = _generate(model, base, collator, [asks[i] for i in chunk], pictures)
            kept[number] = texts
        for i, text in zip(chunk, texts, strict=True):
            answers[i] = text
    return answers


def batches_of(collator: Collator, asks: Sequence[Ask], batch: int) -> list[list[int]]:
    """Numbers of the questions that are asked together: neighbours by length, at most `batch`, never two lengths of
    answer."""
    lengths = [len(collator.prompt(ask.question, ask.image_id)) for ask in asks]
    batches: list[list[int]] = []
    for i in sorted(range(len(asks)), key=lambda i: (asks[i].max_new_tokens, lengths[i], i)):
        last = batches[-1] if batches else None
        if last and len(last) < batch and asks[last[0]].max_new_tokens == asks[i].max_new_tokens:
            last.append(i)
        else:
            batches.append([i])
    return batches


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
