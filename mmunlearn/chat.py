"""Any OpenAI-compatible chat endpoint with structured output, where every reply can be kept on disk.

`ask` asks for a reply once: a rerun with the same request reads it from the cache and calls nothing. `reply` caches
nothing and tells of every attempt. The key is read from the environment when a call is really made; it is in
no cache file, no log and no error.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import random
from time import sleep
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from mmunlearn.endpoint import ChatError, checked_name, checked_url, is_local, read_key
from mmunlearn.records import Record, digest_of, write_json

LONGEST_WAIT = 600.0
"""Seconds that one call may wait in all between its attempts."""
FIRST_WAIT, LAST_WAIT = 0.5, 8.0
"""Seconds before the second attempt, doubled before each further one up to the last; a quarter of it is chance."""
ADVICE = {
    400: "Check that the model takes structured output (a JSON schema) and this temperature.",
    401: "Check the key in the environment variable {key_env}.",
    403: "Check that the key in the environment variable {key_env} may use this model.",
    404: "Check base_url and the model's name.",
    422: "Check that the model takes structured output (a JSON schema) and this temperature.",
    429: "Check the account's limits and credit, or wait; then run again: what was answered is not asked again.",
}
RUN_AGAIN = "Check that the server is up, then run again: what was answered is not asked again."
logger = logging.getLogger(__name__)


class ReplyError(ValueError):
    """A reply came, but it cannot be used: cut off, refused, not JSON, or not of the schema.

    Attributes:
        problem: what is wrong with it, as a clause after "the reply".
        reply: its text, empty where there is none.
    """

    def __init__(self, request: str, problem: str, reply: str) -> None:
        super().__init__(
            f"Asked {request}. Found that the reply {problem}. Ask in other words or take another model."
        )
        self.problem, self.reply = problem, reply


class Reply(Record):
    """What the endpoint said: the text and where it came from."""

    text: str
    finish_reason: str
    refusal: str | None
    model: str
    system_fingerprint: str | None
    usage: dict[str, Any] | None

    def tokens(self, name: str) -> int | None:
        """A count of `usage`; None where the endpoint says none, or what cannot be one."""
        count = (self.usage or {}).get(name)
        return count if type(count) is int and 0 <= count < 2**53 else None


class Exchange(Record):
    """A cache file: the request without secrets, the reply, and when it came (ISO 8601, UTC)."""

    request: dict[str, Any]
    reply: Reply
    time: str


class ChatModel:
    """A model at an OpenAI-compatible endpoint. Safe to share between threads.

    As a context manager it logs how much was asked and how much came from the cache, and hangs up.

    Args:
        base_url: address of the endpoint, e.g. https://api.openai.com/v1; no user, no key in it. Proxies of the
            environment are used except for this machine's own addresses.
        key_env: environment variable that holds the key; None for a server that needs none.
        temperature, seed: sent along unless None.
        timeout: seconds of one attempt.
        cache: folder of the replies of `ask`, `<digest of the request>.json` each; None where only `reply` is used.
        max_retries: further attempts after 408, 409, 429, 5xx, timeouts and broken connections. They wait as
            `Retry-After` says, else for 0.5 to 8 seconds; the waits of a call sum to at most `LONGEST_WAIT`.
    Raises:
        ChatError: base_url is no web address or holds a secret; key_env is no variable's name.
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
        self.base_url, self.model, self.key_env = checked_url(base_url), model, checked_name(key_env)
        self.temperature = None if temperature is None else float(temperature)
        self.seed, self.timeout, self.max_retries = seed, timeout, max_retries
        self.cache = Path(cache or "")
        self._calls = self._hits = 0
        self._key = self._client = None
        self._lock = threading.Lock()

    def __enter__(self) -> ChatModel:
        return self

    def __exit__(self, *exception: object) -> None:
        logger.info("%s: %d asked, %d from the cache", self.model, self._calls, self._hits)
        if self._client is not None:
            self._client.close()
            self._client = None

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
            reply = self._call(_body(request, name))
            exchange = Exchange(request=request, reply=reply, time=datetime.now(UTC).isoformat())
        with self._lock:
            if fresh:
                write_json(self._path(request), exchange)
            self._calls, self._hits = self._calls + fresh, self._hits + (not fresh)
        return object_of(exchange.reply, schema, f"{self.model} for '{name}'")

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
        reply = self._call(body, again, settle)
        with self._lock:
            self._calls += 1
        return reply

    def body(
        self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], name: str, max_tokens: int
    ) -> dict[str, Any]:
        """What is sent for a conversation; arguments as of `ask`, and the longest reply in tokens."""
        return _body(self._request(messages, schema), name) | {"max_completion_tokens": max_tokens}

    def answered_at(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str | None:
        """When the cached reply to a conversation came (ISO 8601, sortable), None where it must be asked for."""
        exchange = self._read(self._request(messages, schema))
        return None if exchange is None else exchange.time

    def _request(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
        model = {"base_url": self.base_url, "model": self.model}
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

    def _call(
        self,
        body: Mapping[str, Any],
        again: Callable[[], None] = lambda: None,
        settle: Callable[[Reply | None, bool], None] = lambda reply, refused: None,
    ) -> Reply:
        client, openai = self.connect(), _library()
        waited, attempt = 0.0, 0
        while True:
            attempt += 1
            reply, status = None, None
            try:
                raw = client.chat.completions.with_raw_response.create(**body)
                reply = parse_reply(self.redacted(raw.text))
            except (openai.OpenAIError, ValueError) as error:
                pause, status = _pause(error, attempt), getattr(error, "status_code", None)
                problem = self._explain(error, attempt, pause)
            finally:
                settle(reply, status is not None)
            if reply is not None:
                return reply
            if pause is None or attempt > self.max_retries or waited + pause > LONGEST_WAIT:
                raise problem  # outside the handler: the cause may quote the key
            waited += pause
            if pause > LAST_WAIT:
                logger.info("%s asks to wait %.0f s", self.model, pause)
            sleep(pause)
            again()

    @contextmanager
    def client(self, max_retries: int | None = None) -> Iterator[Any]:
        """The library's client, for what is no chat: its errors become ChatError.

        Args:
            max_retries: in place of the model's.

        Raises:
            ChatError: what was done with the client failed for good, or the key is missing.
        """
        client, openai, problem = self.connect(), _library(), None
        retries = self.max_retries if max_retries is None else max_retries
        try:
            yield client.with_options(max_retries=retries)
        except openai.OpenAIError as error:
            problem = self._explain(error, retries + 1, None)
        if problem is not None:
            raise problem  # outside the handler: the cause may quote the key

    def connect(self) -> Any:
        """The library's client, made at the first call. Raises ChatError where the key or the library is missing."""
        with self._lock:
            if self._client is None:
                openai = _library()
                self._key = read_key(self.key_env, self.base_url)
                self._client = openai.OpenAI(
                    base_url=self.base_url,
                    api_key=self._key or "none",
                    timeout=self.timeout,
                    max_retries=0,  # tried again here, where attempts are counted
                    http_client=openai.DefaultHttpxClient(trust_env=not is_local(self.base_url)),
                )
            return self._client

    def redacted(self, text: str) -> str:
        """Text of the server without the key, which it may have quoted."""
        return text.replace(self._key, "[key]") if self._key else text

    def _explain(self, error: Exception, attempts: int, pause: float | None) -> ChatError:
        import openai

        advice, everywhere = RUN_AGAIN, False
        answered = not isinstance(error, openai.APIConnectionError)  # nor a timeout, which is one of these
        if isinstance(error, openai.APIStatusError):
            finding = f"status {error.status_code}"
            everywhere = error.status_code in (401, 403, 404)
            if error.status_code not in (401, 403):  # servers quote a wrong key, or parts of it
                finding += f": {self.redacted(error.response.text)[:300]}"
            finding += f", and the wish to wait {pause:.0f} s more" if (pause or 0) > LAST_WAIT else ""
            advice = ADVICE.get(error.status_code, RUN_AGAIN).format(key_env=self.key_env)
        elif isinstance(error, openai.APITimeoutError):
            finding = f"no answer within {self.timeout:g} seconds, {attempts} times"
        elif isinstance(error, openai.APIConnectionError):
            finding = f"no connection, or a broken one, {attempts} times"
        else:
            finding = f"an answer that is no chat completion: {self.redacted(str(error))[:300]}"
            advice = "Check that base_url is an OpenAI-compatible endpoint; it mostly ends in /v1."
        return ChatError(
            f"Asked {self.model} at {self.base_url}. Found {finding}. {advice}", everywhere, answered
        )


def _library() -> ModuleType:
    try:
        import openai
    except ImportError as error:
        raise ChatError(
            f"Asked for the package openai. Found none that can be imported ({error}). "
            "Install it: pip install -c constraints.txt openai."
        ) from error
    return openai


def _body(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    strict = {"name": name, "strict": True, "schema": request["schema"]}
    optional = {key: request[key] for key in ("temperature", "seed") if request[key] is not None}
    return {
        "model": request["model"],
        "messages": request["messages"],
        "response_format": {"type": "json_schema", "json_schema": strict},
        **optional,
    }


def parse_reply(text: str) -> Reply:
    """The first choice of an answer's body. Raises ValueError where it has none."""
    try:
        answer = json.loads(text)
        choice = answer["choices"][0]
        message = choice["message"]
        return Reply(
            text=message.get("content") or "",
            finish_reason=choice.get("finish_reason") or "",
            refusal=message.get("refusal"),
            model=answer.get("model") or "",
            system_fingerprint=answer.get("system_fingerprint"),
            usage=answer.get("usage"),
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise ValueError(repr(text[:200])) from None


def object_of(reply: Reply, schema: Mapping[str, Any], request: str) -> dict[str, Any]:
    """The object that a reply holds. Raises ReplyError, which names the request (`<model> for <what>`)."""
    from jsonschema import Draft202012Validator

    if reply.refusal or reply.finish_reason == "content_filter":
        reason = f": {reply.refusal[:200]}" if reply.refusal else " (content filter)"
        raise ReplyError(request, f"is a refusal{reason}", reply.text or reply.refusal or "")
    if reply.finish_reason == "length":
        raise ReplyError(request, "was cut off at the longest length", reply.text)
    try:
        value = json.loads(reply.text)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        errors = sorted(
            Draft202012Validator(dict(schema)).iter_errors(value), key=lambda e: list(map(str, e.path))
        )
    except (ValueError, RecursionError) as error:  # the latter where it is nested too deeply
        raise ReplyError(request, f"is not JSON ({error})", reply.text) from None
    if errors:
        where = ".".join(map(str, errors[0].path)) or "it"
        raise ReplyError(request, f"does not fit the schema ({where}: {errors[0].message[:200]})", reply.text)
    return value


def _pause(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next attempt: as the server asks, else more each time; None where no wait helps."""
    import openai

    backoff = min(FIRST_WAIT * 2 ** (attempt - 1), LAST_WAIT) * (1 - random() / 4)
    response = getattr(error, "response", None)
    if response is None:
        return backoff if isinstance(error, openai.APIConnectionError) else None
    if response.headers.get("x-should-retry") == "false":
        return None
    if response.status_code not in (408, 409, 429) and response.status_code < 500:
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
