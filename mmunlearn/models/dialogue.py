"""A question and its answer as token ids, by the processor's own chat template."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from transformers.processing_utils import ProcessorMixin
from transformers.utils.chat_template_utils import _compile_jinja_template

TODAY = datetime(2024, 7, 26)
"""What a template that asks for the date is told, in training and answering alike: Llama 3.2's own default."""


class Tokens(NamedTuple):
    """Ids of a conversation in three pieces; the image is still one token, the last of `prefix`, if that is known."""

    prefix: tuple[int, ...]
    tail: tuple[int, ...]
    answer: tuple[int, ...]  # with its end token; empty without an answer


class Dialogue:
    """Renders and tokenizes one question to one picture."""

    def __init__(self, processor: ProcessorMixin, image_token: int | None) -> None:
        """`image_token`: what the template writes for a picture; None: unknown, all of a prompt is its tail."""
        self._processor, self._tokenizer = processor, processor.tokenizer
        self._image_token = image_token
        self.tokens = lru_cache(maxsize=100_000)(self._tokens)

    def prompt(self, question: str) -> str:
        """The text up to where the model starts to answer."""
        return self._render(_messages(question), add_generation_prompt=True)

    def full(self, question: str, answer: str) -> str:
        """The text up to the end token of the answer, which templates of some base models leave out."""
        reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        text = self._render([*_messages(question), reply]).rstrip()
        end = self._tokenizer.eos_token
        return text if text.endswith(end) else text + end

    def _render(self, messages: list[dict], **options: bool) -> str:
        _fix_date(self._processor)
        return self._processor.apply_chat_template(messages, **options)

    def _tokens(self, question: str, answer: str) -> Tokens:
        """The conversation's ids; `answer` may be empty.

        Raises:
            ValueError: the template or the texts make labels impossible.
        """
        prompt = self._encode(self.prompt(question))
        if self._image_token is not None and prompt.count(self._image_token) != 1:
            raise ValueError(
                f"one image token is asked for in a prompt, but '{question}' gives {prompt.count(self._image_token)}; "
                f"use a chat template with one for a picture, and no image token in texts"
            )
        cut = 0 if self._image_token is None else prompt.index(self._image_token) + 1
        if not answer:
            return Tokens(tuple(prompt[:cut]), tuple(prompt[cut:]), ())
        full = self._encode(self.full(question, answer))
        if full[: len(prompt)] != prompt:
            raise ValueError(
                "the chat template changes the prompt when an answer follows: labels would be wrong"
            )
        end = self._tokenizer.eos_token_id
        reply = full[len(prompt) :]
        reply = reply[: reply.index(end) + 1] if end in reply else [*reply, end]
        if self._image_token in reply:
            raise ValueError(
                f"labels without image tokens are asked for, but '{answer}' holds one; change the answer"
            )
        return Tokens(tuple(prompt[:cut]), tuple(prompt[cut:]), tuple(reply))

    def _encode(self, text: str) -> list[int]:
        begins = self._tokenizer.bos_token is not None and text.startswith(self._tokenizer.bos_token)
        return self._tokenizer(text, add_special_tokens=not begins).input_ids


def _fix_date(processor: ProcessorMixin) -> None:
    """Let a template that writes today's date (Llama 3) write TODAY in its stead; the library keeps compiled ones."""
    template = processor.chat_template
    template = template.get("default") if isinstance(template, dict) else template
    if template is not None:
        _compile_jinja_template(template).environment.globals["strftime_now"] = TODAY.strftime


def _messages(question: str) -> list[dict]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
