"""What a chat endpoint replies: its text and where it came from, and the object that the text should hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmunlearn.records import Record


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


def refused(reason: str) -> Reply:
    """The reply that a request has in effect which the endpoint refuses for what it says."""
    return Reply(
        text="", finish_reason="refused", refusal=reason, model="", system_fingerprint=None, usage=None
    )


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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: which of two scores is meant, nobody knows."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def object_of(reply: Reply, schema: Mapping[str, Any], request: str) -> dict[str, Any]:
    """The object that a reply holds. Raises ReplyError, which names the request (`<model> for <what>`)."""
    from jsonschema import Draft202012Validator

    if reply.refusal or reply.finish_reason == "content_filter":
        reason = f": {reply.refusal[:200]}" if reply.refusal else " (content filter)"
        raise ReplyError(request, f"is a refusal{reason}", reply.text or reply.refusal or "")
    if reply.finish_reason == "length":
        raise ReplyError(request, "was cut off at the longest length", reply.text)
    try:
        value = json.loads(reply.text, object_pairs_hook=_once)
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
