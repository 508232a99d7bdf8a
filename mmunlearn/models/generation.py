"""Batched greedy answers: left padding, questions sorted by length, by their pictures first where the tower runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from mmunlearn.ahead import ahead
from mmunlearn.models.collate import Collator
from mmunlearn.models.experts import answering
from mmunlearn.models.loading import autocast
from mmunlearn.progress import progress


@dataclass(frozen=True)
class Query:
    """A question to a picture, how long its answer may get, in tokens, and who answers.

    Attributes:
        adapter: one of several on the base, or `experts.BASE`; None: the model as it is.
    """

    image_id: str
    question: str
    max_new_tokens: int
    adapter: str | None = None


class AnswerCache(Protocol):
    """Batches that are answered already: number -> texts, in the batch's order. A dictionary is one."""

    def get(self, number: int) -> list[str] | None:
        """The texts of a batch, None where it is still to be asked."""
        ...

    def __setitem__(self, number: int, texts: list[str]) -> None: ...


@torch.no_grad()
def answer_all(
    model: torch.nn.Module,
    collator: Collator,
    queries: Sequence[Query],
    *,
    batches: Sequence[Sequence[int]],
    cache: AnswerCache | None = None,
    what: str = "answers",
    precision: str = "none",
) -> list[str]:
    """Greedy answers in the order of the queries; the next batch is read and laid out while one is answered.

    In float32 a batch says what one question alone would (tested for every family). In 16 bits the company of a
    question rounds differently, and where two tokens are nearly as likely, it decides. The same holds for a batch of
    several adapters.

    Args:
        model: the collator's base, mostly with an adapter; with several where queries name them.
        batches: of `batches_of`.
        cache: its batches are not asked again; it takes the others, one after the other.
        precision: see `loading.autocast`.
    """
    model.eval()
    cache = {} if cache is None else cache
    answers = [""] * len(queries)
    known = list(map(cache.get, range(len(batches))))

    def asked(batch: Sequence[int]) -> dict[str, Any]:
        return collator.asked([queries[i].question for i in batch], [queries[i].image_id for i in batch])

    missing = [batch for batch, texts in zip(batches, known, strict=True) if texts is None]
    with closing(ahead(asked, missing)) as inputs:
        for number, batch in enumerate(progress(batches, what, unit="batch")):
            texts = known[number]
            if texts is None:
                with autocast(precision, collator.base.model.device):
                    texts = _generate(model, collator, [queries[i] for i in batch], next(inputs))
                cache[number] = texts
            for i, text in zip(batch, texts, strict=True):
                answers[i] = text
    collator.release()
    return answers


def batches_of(collator: Collator, queries: Sequence[Query], batch: int) -> list[list[int]]:
    """Numbers of the queries that are asked together: neighbours by length, at most `batch`, never two lengths of
    answer, of several adapters only where the family can, and of one of the collator's windows."""
    lengths = [len(collator.prompt(query.question, query.image_id)) for query in queries]
    mixes = collator.base.mixes
    windows = collator.windows(query.image_id for query in queries)
    kinds = [
        (window, query.max_new_tokens, "" if mixes else query.adapter or "")
        for window, query in zip(windows, queries, strict=True)
    ]
    batches: list[list[int]] = []
    for i in sorted(range(len(queries)), key=lambda i: (kinds[i], lengths[i], i)):
        last = batches[-1] if batches else None
        if last and len(last) < batch and kinds[last[0]] == kinds[i]:
            last.append(i)
        else:
            batches.append([i])
    return batches


def greedy(tokenizer: PreTrainedTokenizerBase, max_new_tokens: int) -> GenerationConfig:
    """The likeliest token at every step, and nothing else: no penalty, ban, beam, forced or suppressed token, least
    length or time. `load_base` drops the checkpoint's own settings, which would fill in what is not set here."""
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _generate(
    model: torch.nn.Module, collator: Collator, queries: Sequence[Query], asked: Mapping[str, Any]
) -> list[str]:
    tokenizer, inputs = collator.base.processor.tokenizer, collator.inputs_of(asked)
    config = greedy(tokenizer, queries[0].max_new_tokens)
    adapters = [one.adapter for one in queries]
    if len(set(adapters)) > 1:
        generated = model.generate(**inputs, generation_config=config, adapter_names=adapters)
    else:
        with answering(model, adapters[0]):
            generated = model.generate(**inputs, generation_config=config)
    replies = generated[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(replies, skip_special_tokens=True)]
