"""The one place that lays out a batch: all questions of an image behind one image prefix.

A row is `[prefix with image tokens, question 1 + answer 1, question 2 + answer 2, ...]`. A token of one
question sees the prefix and its own question only, and positions restart after the prefix for every question,
so losses and gradients are those of one question a row. What comes out of `forward` knows nothing of the
layout: logits and labels with one row a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmunlearn.models.loading import Base

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """An image with its questions and answers."""

    image_id: str
    turns: tuple[tuple[str, str], ...]

    def split(self) -> list[Example]:
        """The same, one question each."""
        return [Example(self.image_id, (turn,)) for turn in self.turns]


class Collator:
    """Turns examples into the tensors of a forward pass, and a forward pass into rows of questions."""

    def __init__(
        self, base: Base, features: Mapping[str, torch.Tensor], *, packed: bool | None = None
    ) -> None:
        """`features`: image id -> (tokens, hidden). `packed`: override the family's layout (for comparison)."""
        self._processor, self._tokenizer = base.processor, base.processor.tokenizer
        self._features = features
        self._image_token = base.model.config.image_token_id
        self.vocabulary = base.model.config.get_text_config().vocab_size
        self._packed = base.family.packs if packed is None else packed
        self.tokens_of = lru_cache(maxsize=100_000)(self._tokens_of)

    def __call__(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Tensors of a forward pass.

        Returns:
            input_ids, position_ids (B, L); attention_mask (B, 1, L, L) additive float32; image_features, a list
            of B (tokens, hidden); question_rows (Q, 1) and question_positions, labels (Q, T): where each
            question's answer lies. Labels are -100 but for the answer and its end token; T counts the position
            before the answer, too, so that the usual shift by one applies.
        """
        rows = [example for given in examples for example in ([given] if self._packed else given.split())]
        laid_out = [self._layout(example) for example in rows]
        length = max(len(row.ids) for row in laid_out)
        spans = [(index, span) for index, row in enumerate(laid_out) for span in row.answers]
        widest = max(end - start for _, (start, end) in spans) + 1
        pad = self._tokenizer.pad_token_id
        labels = torch.full((len(spans), widest), IGNORED)
        positions = torch.zeros((len(spans), widest), dtype=torch.long)
        for question, (index, (start, end)) in enumerate(spans):
            positions[question, : end - start + 1] = torch.arange(start - 1, end)
            labels[question, 1 : end - start + 1] = torch.tensor(laid_out[index].ids[start:end])
        return {
            "input_ids": torch.tensor([row.ids + [pad] * (length - len(row.ids)) for row in laid_out]),
            "position_ids": torch.tensor(
                [row.positions + [0] * (length - len(row.positions)) for row in laid_out]
            ),
            "attention_mask": torch.stack([_visible(row.segments, length) for row in laid_out])[:, None],
            "image_features": [self._features[row.image_id] for row in rows],
            "question_rows": torch.tensor([[index] for index, _ in spans]),
            "question_positions": positions,
            "labels": labels,
        }

    def prompt(self, question: str, image_id: str) -> list[int]:
        """Token ids up to where the model starts to answer, image tokens expanded."""
        prefix, tail, _ = self.tokens_of(question, "")
        return self._expand(prefix, image_id) + list(tail)

    def _tokens_of(self, question: str, answer: str) -> tuple[tuple[int, ...], ...]:
        """Ids of (prefix up to the image, rest of the prompt, answer with its end token)."""
        ask = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        prompt = self._encode(self._processor.apply_chat_template(ask, add_generation_prompt=True))
        cut = len(prompt) - prompt[::-1].index(self._image_token)
        if not answer:
            return tuple(prompt[:cut]), tuple(prompt[cut:]), ()
        said = [*ask, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
        full = self._encode(self._processor.apply_chat_template(said))
        if full[: len(prompt)] != prompt:
            raise ValueError(
                "the chat template changes the prompt when an answer follows: labels would be wrong"
            )
        end = self._tokenizer.eos_token_id
        tokens = full[len(prompt) :]
        tokens = tokens[: tokens.index(end)] if end in tokens else tokens
        return tuple(prompt[:cut]), tuple(prompt[cut:]), (*tokens, end)

    def _encode(self, text: str) -> list[int]:
        begins = self._tokenizer.bos_token is not None and text.startswith(self._tokenizer.bos_token)
        return self._tokenizer(text, add_special_tokens=not begins).input_ids

    def _expand(self, prefix: Sequence[int], image_id: str) -> list[int]:
        """One image token becomes as many as the image has features."""
        count = len(self._features[image_id])
        return [copy for token in prefix for copy in [token] * (count if token == self._image_token else 1)]

    def _layout(self, example: Example) -> _Row:
        shared = self.tokens_of(example.turns[0][0], "")[0]
        prefix = self._expand(shared, example.image_id)
        row = _Row(list(prefix), list(range(len(prefix))), [0] * len(prefix), [])
        for number, (question, answer) in enumerate(example.turns, start=1):
            own_prefix, tail, said = self.tokens_of(question, answer)
            if own_prefix != shared:
                raise ValueError("the chat template puts the question before the image: it cannot be packed")
            start = len(row.ids) + len(tail)
            row.answers.append((start, start + len(said)))
            row.ids += [*tail, *said]
            row.positions += range(len(prefix), len(prefix) + len(tail) + len(said))
            row.segments += [number] * (len(tail) + len(said))
        return row


@dataclass
class _Row:
    ids: list[int]
    positions: list[int]
    segments: list[int]  # 0 for the prefix, then the number of the question
    answers: list[tuple[int, int]]  # half-open spans of the answers


def _visible(segments: Sequence[int], length: int) -> torch.Tensor:
    """Additive mask (length, length): causal, a question sees the prefix and itself; padding sees itself."""
    segment = torch.tensor([*segments, *[IGNORED] * (length - len(segments))])
    order = torch.arange(length)
    same = (segment[None, :] == 0) | (segment[:, None] == segment[None, :])
    allowed = (order[:, None] >= order[None, :]) & same & (segment[:, None] != IGNORED)
    allowed |= torch.eye(length, dtype=torch.bool)
    return torch.zeros(length, length).masked_fill(~allowed, torch.finfo(torch.float32).min)


def image_outputs(features: Sequence[torch.Tensor]) -> dict[str, BaseModelOutputWithPooling]:
    """What a model takes instead of pixels: `mm_encoder_outputs`."""
    return {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}


def forward(model: torch.nn.Module, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (Q, T, V) and labels (Q, T), one row a question; labels are not shifted."""
    logits = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=batch["attention_mask"],
        mm_encoder_outputs=image_outputs(batch["image_features"]),
    ).logits
    return logits[batch["question_rows"], batch["question_positions"]], batch["labels"]
