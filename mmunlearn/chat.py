"""Any OpenAI-compatible chat endpoint with structured output, where every reply can be kept on disk.

`ask` asks for a reply once: a rerun with the same request reads it from the cache and calls nothing. `reply` caches
nothing and tells of every attempt. The key is read from the environment when a call is really made; it is in
no cache file, no log and no error.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import random
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from mmunlearn.endpoint import (
    SHORTEST_KEY,
    ChatError,
    check_endpoint,
    checked_url,
    identity_of,
    read_key,
    redacted,
    shown_url,
)
from mmunlearn.records import Record, digest_of, write_json
from mmunlearn.refusals import PLAIN, RUN_AGAIN, of_all, refusal
from mmunlearn.replies import Reply, ReplyError, object_of, parse_reply, refused

if TYPE_CHECKING:
    from mmunlearn.connection import Connection

__all__ = ["ChatError", "ChatModel", "Exchange", "Reply", "ReplyError", "object_of", "parse_reply"]
LONGEST_WAIT = 600.0
"""Seconds that one call may wait in all between its attempts."""
FIRST_WAIT, LAST_WAIT = 0.5, 8.0
"""Seconds before the second attempt, doubled before each further one up to the last; a quarter of it is chance."""
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Exchange(Record):
    """A cache file: the request without secrets, the reply, and when it came (ISO 8601, UTC)."""

    request: dict[str, Any]
    reply: Reply
    time: str


class ChatModel:
    """A model at an OpenAI-compatible endpoint. Safe to share between threads.

    As a context manager it logs how much was asked and how much came from the cache, and hangs up.

    Args:
        base_url: address of the endpoint, e.g. https://api.openai.com/v1; no user, no key in it. Redirects are not
            followed. Proxies of the environment are used except for this machine's own addresses.
        key_env: environment variable that holds the key; None for a server that needs none.
        temperature, seed: sent along unless None.
        timeout: seconds of one attempt, however slowly the answer comes.
        cache: folder of the replies of `ask`, `<digest of the request>.json` each; None where only `reply` is used.
        max_retries: further attempts after 408, 409, 425, 429, 5xx, timeouts and broken connections. They wait as
            `Retry-After` says, else for 0.5 to 8 seconds; the waits of a call sum to at most `LONGEST_WAIT`.
    Raises:
        ChatError: base_url is no web address or holds a secret; key_env is no variable's name; a key would be sent
            over plain http.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key_env: str | None,
        temperature: float | None,
        seed: int | None,
        timeout: float,
        cache: str | Path | None,
        max_retries: int = 5,
    ) -> None:
        check_endpoint(base_url, key_env)
        self._base_url, self.model, self.key_env = checked_url(base_url), model, key_env
        self.base_url, self._identity = shown_url(self._base_url), identity_of(self._base_url)
        self.temperature = None if temperature is None else float(temperature)
        self.seed, self.timeout, self.max_retries = seed, timeout, max_retries
        self.cache = Path(cache or "")
        self._calls = self._hits = 0
        self._key, self._connection = "", None
        self._lock = threading.Lock()

    def __enter__(self) -> ChatModel:
        return self

    def __exit__(self, *exception: object) -> None:
        logger.info("%s: %d asked, %d from the cache", self.model, self._calls, self._hits)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], name: str
    ) -> dict[str, Any]:
        """The reply to a conversation as an object of a JSON schema, from the cache where it was asked before.

        Unusable replies are cached, too: ask again with changed messages.

        Args:
            messages: the conversation, in the API's form.
            schema: JSON schema of the reply; strict, so objects forbid additional properties and require all.
            name: of the schema; letters, digits, _ and - only.
        Raises:
            ChatError: the call failed for good, or the key is missing.
            ReplyError: the reply cannot be used.
        """
        request = self._request(messages, schema)
        exchange = self._read(request)
        fresh = exchange is None
        if fresh:
            if self._path(request).exists():
                logger.warning("%s is damaged or holds another request: asking again", self._path(request))
            reply = self._chat(_body(request, name))
            exchange = Exchange(request=request, reply=reply, time=datetime.now(UTC).isoformat())
        with self._lock:
            if fresh:
                write_json(self._path(request), exchange)
            self._calls, self._hits = self._calls + fresh, self._hits + (not fresh)
        return object_of(exchange.reply, schema, f"{self.model} for '{name}'")

    def keep_refusal(
        self, error: ChatError, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], name: str
    ) -> None:
        """Cache that the endpoint refuses a conversation for what it says: from then on `ask` asks nothing and raises
        ReplyError. Where the error does not tell, a plain text is asked, too.

        Args:
            error: what `ask` has raised for the other arguments.
        Raises:
            ChatError: the error concerns more than this conversation.
        """
        if error.concerns not in ("text", "unclear"):
            raise error
        request = self._request(messages, schema)
        if error.concerns == "unclear":
            plain = {"messages": [{"role": "user", "content": PLAIN}]}
            try:
                self._chat(_body(request, name) | plain)
            except ChatError as other:
                raise of_all(other) from None
        exchange = Exchange(request=request, reply=refused(error.finding), time=datetime.now(UTC).isoformat())
        with self._lock:
            write_json(self._path(request), exchange)

    def reply(
        self, body: Mapping[str, Any], again: Callable[[], None], settle: Callable[[Reply | None, bool], None]
    ) -> Reply:
        """The reply to a request of `body`, always asked for and never cached.

        Args:
            again: called before every attempt but the first; may forbid it by raising.
            settle: called after every attempt with its reply or None, and whether the server said no by a status, and
                so will not bill it.
        Raises:
            ChatError: the call failed for good, or the key is missing. So does whatever `again` raises.
        """
        reply = self._chat(body, again, settle)
        with self._lock:
            self._calls += 1
        return reply

    def body(
        self,
        messages: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any],
        name: str,
        limit: Mapping[str, int],
    ) -> dict[str, Any]:
        """What is sent for a conversation; arguments as of `ask`, and the key and tokens of the longest reply."""
        return _body(self._request(messages, schema), name) | limit

    def answered_at(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str | None:
        """When the cached reply to a conversation came (ISO 8601, sortable), None where it must be asked for."""
        exchange = self._read(self._request(messages, schema))
        return None if exchange is None else exchange.time

    def _request(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
        model = {"base_url": self._identity, "model": self.model}
        model |= {"temperature": self.temperature, "seed": self.seed}
        return model | {"messages": [dict(one) for one in messages], "schema": dict(schema)}

    def _path(self, request: Mapping[str, Any]) -> Path:
        return self.cache / f"{digest_of(request)}.json"

    def _read(self, request: dict[str, Any]) -> Exchange | None:
        try:
            exchange = Exchange.model_validate_json(self._path(request).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return exchange if exchange.request == request else None

    def _chat(
        self,
        body: Mapping[str, Any],
        again: Callable[[], None] = lambda: None,
        settle: Callable[[Reply | None, bool], None] = lambda reply, said_no: None,
    ) -> Reply:
        async def create(client: Any) -> Reply:
            raw = await client.chat.completions.with_raw_response.create(**body)
            text = raw.content.decode("utf-8-sig", "replace")
            return parse_reply(self.without_key(text))

        return self.call(create, again=again, settle=settle)

    def call(
        self,
        work: Callable[[Any], Awaitable[T]],
        *,
        size: int = 0,
        max_retries: int | None = None,
        again: Callable[[], None] = lambda: None,
        settle: Callable[[T | None, bool], None] = lambda reply, said_no: None,
    ) -> T:
        """What is done with the library's client, tried again where that may help.

        Args:
            work: one attempt; raises ValueError where the answer is none.
            size: bytes of a file that it sends or fetches.
            max_retries: in place of the model's.
            again, settle: as of `reply`.
        Raises:
            ChatError: it failed for good, or the key is missing. So does whatever `again` raises.
        """
        connection = self.connect()
        from openai import OpenAIError

        from mmunlearn.connection import UnreadableError

        waited, attempt, most = 0.0, 0, self.max_retries if max_retries is None else max_retries
        while True:
            attempt += 1
            done, problem, pause = None, None, None
            try:
                done = connection.run(work, size)
            except (OpenAIError, TimeoutError, UnreadableError, ValueError) as error:
                pause = _pause(error, attempt)
                problem = self._explain(error, attempt, pause)
            finally:
                settle(done, problem is not None and problem.status is not None)
            if problem is None:
                return done
            if (
                pause is None
                or problem.concerns != "moment"
                or attempt > most
                or waited + pause > LONGEST_WAIT
            ):
                raise problem  # outside the handler: the cause may quote the key
            waited += pause
            if pause > LAST_WAIT:
                logger.info("%s asks to wait %.0f s", self.model, pause)
            sleep(pause)
            again()

    def connect(self) -> Connection:
        """The connection, made at the first call. Raises ChatError where the key or the library is missing."""
        with self._lock:
            if self._connection is None:
                try:
                    import openai  # noqa: F401

                    from mmunlearn.connection import Connection
                except ImportError as error:
                    raise ChatError(
                        f"Asked for the package openai. Found none that can be imported ({error}). "
                        "Install it: pip install -c constraints.txt openai."
                    ) from error
                self._key = read_key(self.key_env, self._base_url)
                self._connection = Connection(self._base_url, self._key, self.timeout)
            return self._connection

    def without_key(self, text: str) -> str:
        """A reply's text without the key, which it may have quoted. A short one is a word like another, and no key."""
        return text.replace(self._key, "[key]") if len(self._key) >= SHORTEST_KEY else text

    def redacted(self, text: str) -> str:
        """What the server says, for a message: as of `redacted` of endpoint.py, with this endpoint's key."""
        return redacted(text, self._key)

    def _explain(self, error: Exception, attempts: int, pause: float | None) -> ChatError:
        import openai

        from mmunlearn.connection import UnreadableError

        asked, advice, answered = f"Asked {self.model} at {self.base_url}.", RUN_AGAIN, False
        if isinstance(error, openai.APIStatusError):
            wait = pause if pause is not None and pause > LAST_WAIT else 0.0
            return refusal(self.model, self._base_url, self.key_env, error.response, self._key, wait)
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            finding = f"no answer within {self.timeout:g} seconds, {attempts} times"
        elif isinstance(error, openai.APIConnectionError):
            cause = self.redacted(str(error.__cause__ or ""))[:200]
            finding = f"no connection, or a broken one, {attempts} times{': ' if cause else ''}{cause}"
        else:
            answered, what = True, self.redacted(str(error))[:300]
            unreadable = isinstance(error, UnreadableError)
            finding = what if unreadable else f"an answer that is no chat completion: {what}"
            advice = "Check that base_url is an OpenAI-compatible endpoint; it mostly ends in /v1."
        message = f"{asked} Found {finding}. {advice}"
        return ChatError(message, "moment", answered=answered, finding=finding)


def _body(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    strict = {"name": name, "strict": True, "schema": request["schema"]}
    optional = {key: request[key] for key in ("temperature", "seed") if request[key] is not None}
    return {
        "model": request["model"],
        "messages": request["messages"],
        "response_format": {"type": "json_schema", "json_schema": strict},
        **optional,
    }


def _pause(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next attempt: as the server asks, else more each time; None where no wait helps."""
    import openai

    backoff = min(FIRST_WAIT * 2 ** (attempt - 1), LAST_WAIT) * (1 - random() / 4)
    response = getattr(error, "response", None)
    if response is None:
        return backoff if isinstance(error, openai.APIConnectionError | TimeoutError) else None
    if response.headers.get("x-should-retry") == "false":
        return None
    seconds = _retry_after(response.headers)
    return seconds if seconds is not None and seconds > 0 else backoff


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by `retry-after-ms` or `Retry-After` (seconds, or a date)."""
    value = headers.get("retry-after", "")
    try:
        milliseconds = headers.get("retry-after-ms")
        seconds = float(value) if milliseconds is None else float(milliseconds) / 1000
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if math.isfinite(seconds) else None
