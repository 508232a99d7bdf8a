"""Who is asked what a picture shows: the base itself, or a vision model at an OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

from mmunlearn.chat import ChatError, ChatModel, ReplyError
from mmunlearn.lifelong.gates.gate import Sources
from mmunlearn.models.picture_list import Picture
from mmunlearn.progress import progress
from mmunlearn.tasks import TaskQuestion

LONGEST_SIDE = 768
"""Pixels of a picture that is sent; a larger one is made smaller."""
NAME = {"type": "string", "description": "the name alone; empty where it cannot be told"}


class Said(NamedTuple):
    """A reply, or why there is none."""

    text: str
    problem: str = ""


class Turn(NamedTuple):
    """A question on a picture.

    Attributes:
        choices: the replies that there are, where the asked can be held to them.
        before: question and reply of the turn before.
    """

    picture: TaskQuestion
    question: str
    choices: tuple[str, ...] = ()
    before: tuple[str, str] | None = None


class Asker(Protocol):
    """Whoever is asked: the base itself, or a model at an endpoint."""

    def __call__(self, turns: Sequence[Turn], what: str) -> list[Said]:
        """What is said, in the order of the turns; `what` names them."""
        ...


class BaseAsker:
    """Asks the base, without an adapter, each turn on its own: batched, as models are asked."""

    def __init__(self, settings: Mapping[str, Any], sources: Sources) -> None:
        self._outputs = [sources.output]
        self._asking = sources.asking(settings["max_new_tokens"])

    def __call__(self, turns: Sequence[Turn], what: str) -> list[Said]:
        """See Asker."""
        rows = [
            turn.picture.model_copy(
                update={"question_id": turn.picture.image_id, "question": turn.question, "answer": ""}
            )
            for turn in turns
        ]
        suite = self._asking.suite(rows)
        said = self._asking.answers(suite, self._asking.base.model, (what,), self._outputs, what)
        return [Said(one.answer) for one in said]


class EndpointAsker:
    """Asks a vision model, the turns of a picture in one conversation; replies are cached, a rerun calls nothing twice.

    Raises:
        ChatError: the endpoint cannot be asked, after the retries.
    """

    def __init__(self, settings: Mapping[str, Any], sources: Sources) -> None:
        own = sources.endpoint
        keys = ("base_url", "model", "key_env", "temperature", "seed", "timeout", "max_retries")
        self._chat = ChatModel(**{key: own[key] for key in keys}, cache=sources.work / "gates")
        self._concurrency, self._listed_in = own["concurrency"], sources.questions

    def __call__(self, turns: Sequence[Turn], what: str) -> list[Said]:
        """See Asker."""
        with self._chat, ThreadPoolExecutor(self._concurrency) as pool:
            return list(progress(pool.map(self._ask, turns), what, total=len(turns), unit="picture"))

    def _ask(self, turn: Turn) -> Said:
        kind = {"type": "string", "enum": list(turn.choices)} if turn.choices else NAME
        field = "kind" if turn.choices else "name"
        schema = {
            "type": "object",
            "properties": {field: kind},
            "required": [field],
            "additionalProperties": False,
        }
        first, *more = (turn.before[0], turn.before[1], turn.question) if turn.before else (turn.question,)
        picture = {"type": "image_url", "image_url": {"url": self._data_url(turn.picture)}}
        messages = [{"role": "user", "content": [picture, {"type": "text", "text": first}]}]
        if more:
            messages += [{"role": "assistant", "content": more[0]}, {"role": "user", "content": more[1]}]
        ask = partial(self._chat.ask, messages, schema, field)
        try:
            try:
                return Said(ask()[field])
            except ChatError as error:
                self._chat.keep_refusal(error, messages, schema, field)
                return Said(ask()[field])  # which is a refusal now
        except ReplyError as error:
            return Said("", f"the reply {error.problem}")

    def _data_url(self, row: TaskQuestion) -> str:
        picture, file = Picture(row.path, row.sha256, self._listed_in).open(), io.BytesIO()
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        picture.save(file, "JPEG", quality=90)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


ASKERS: Mapping[str, type[Asker]] = {"base": BaseAsker, "openai": EndpointAsker}
