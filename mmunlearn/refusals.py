"""What a failed call means: what was found, whether it concerns one text or all, and what to do.

A status alone does not tell them apart: 400 is one sentence that a provider does not take (repeated words, a prompt
that its filter flags, too many tokens) or a parameter that a server does not know; 403 is a flagged sentence or a key
without rights. The error's code does where it is known; the rest is `unclear`: what becomes of other texts decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from mmunlearn.endpoint import ChatError, Concern, redacted, shown_name, shown_url

OF_THE_TEXT = frozenset((
    "invalid_prompt", "content_filter", "content_policy_violation", "context_length_exceeded", "request_too_large",
    "string_above_max_length", "responsibleaipolicyviolation", "data_inspection_failed", "moderation_blocked",
))  # fmt: skip
"""Codes of errors that concern what one call says: OpenAI's, Azure's, DashScope's, Anthropic's."""
OF_THE_ACCOUNT = frozenset((
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated",
    "access_terminated", "insufficient_balance", "invalid_api_key", "invalid_organization", "ip_not_authorized",
    "unsupported_country_region_territory",
))  # fmt: skip
OF_THE_REQUEST = frozenset((
    "model_not_found", "deploymentnotfound", "unsupported_parameter", "unsupported_value", "unknown_parameter",
    "invalid_json_schema",
))  # fmt: skip
"""Codes of errors that any other call would meet alike."""
EVERYWHERE = frozenset((401, 402, 404, 405, 407, 410))
PLAIN = "People walk in a park on a sunny day."
"""What no endpoint refuses for its words: if it does, it refuses all."""
PASSING = frozenset((408, 409, 425, 429))
RUN_AGAIN = "Check that the server is up, then run again: what was answered is not asked again."
FORM = (
    "Check that the model takes structured output (a JSON schema), this temperature and seed, and the name of the "
    "longest reply's key (max_tokens_key)."
)
ADDRESS = "Check base_url and the model's name."
ACCOUNT = (
    "Check the account's limits and credit, or wait; then run again: what was answered is not asked again."
)
ADVICE = {400: FORM, 422: FORM, 402: ACCOUNT, 429: ACCOUNT, 404: ADDRESS, 405: ADDRESS, 410: ADDRESS}


def said(text: str, key: str = "") -> tuple[str, set[str]]:
    """An error's own words, on one line and without the key, and its codes (code, type) in small letters."""
    codes: set[str] = set()
    try:
        body = json.loads(text)
        error = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(error, dict):
            inner = error.get("innererror") if isinstance(error.get("innererror"), dict) else {}
            named = [error.get("code"), error.get("type"), inner.get("code")]
            codes = {one.lower() for one in named if isinstance(one, str)}
            words = [error.get("message") or error.get("detail") or text]
            words += [f"({name} {error[name]})" for name in ("code", "param") if error.get(name)]
            text = " ".join(map(str, words))
    except (ValueError, RecursionError):
        pass
    return redacted(text[:10_000], key)[:300], codes


def concern_of(status: int, codes: set[str]) -> Concern:
    """What an error concerns, by the answer's status and the codes in it."""
    if codes & (OF_THE_ACCOUNT | OF_THE_REQUEST):
        return "all"
    if codes & OF_THE_TEXT or status == 413:
        return "text"
    if status in EVERYWHERE or status < 400:
        return "all"
    return "moment" if status in PASSING or status >= 500 else "unclear"


def refusal(
    model: str, base_url: str, key_env: str | None, answer: Any, key: str, wait: float = 0.0
) -> ChatError:
    """The error of an answer with a status that is no success.

    Args:
        answer: with status_code, headers and content, as the library gives it.
        wait: seconds that the server asks to wait besides; 0: none.
    """
    status = answer.status_code
    words, codes = said(bytes(answer.content).decode("utf-8", "replace"), key)
    concern = concern_of(status, codes)
    finding = f"status {status}"
    if status == 401:  # servers quote a wrong key, or parts of it that are not known here
        finding += "".join(f" ({code})" for code in sorted(codes & OF_THE_ACCOUNT))
    elif 300 <= status < 400:
        finding += f", a redirect to {_host(base_url, answer.headers)}, which is not followed: the key would go along"
    elif words:
        finding += f": {words}"
    if wait:
        finding += f", and the wish to wait {wait:.0f} s more"
    return ChatError(
        f"Asked {model} at {shown_url(base_url)}. Found {finding}. {_advice(status, codes, key_env)}",
        concern,
        answered=True,
        finding=finding,
        status=status,
    )


def of_all(error: ChatError) -> ChatError:
    """The error of a plain text that is refused, as others were before."""
    if error.concerns not in ("text", "unclear"):
        return error
    message = f"{error} Not a text of the data set alone is refused so, but the plain one '{PLAIN}', too."
    return ChatError(message, answered=True, finding=error.finding, status=error.status)


def _advice(status: int, codes: set[str], key_env: str | None) -> str:
    if status in (401, 403):
        if key_env is None:
            return "The server wants a key: put it into an environment variable and name that in key_env."
        variable = shown_name(key_env) if shown_name(key_env) == key_env else "that key_env names"
        use = "." if status == 401 else " may use this model."
        return f"Check {'the key in' if status == 401 else 'that the key in'} the environment variable {variable}{use}"
    if codes & OF_THE_ACCOUNT:
        return ACCOUNT
    if 300 <= status < 400:
        return "Write the address that answers by itself into base_url, if you trust it."
    return ADVICE.get(status, FORM if 400 <= status < 500 and status not in PASSING else RUN_AGAIN)


def _host(base_url: str, headers: Mapping[str, str]) -> str:
    """Where a redirect leads: scheme and host alone."""
    try:
        parts = urlsplit(urljoin(base_url, headers.get("location", "")))
        return redacted(f"{parts.scheme}://{parts.hostname}")[:200]
    except ValueError:
        return "no address"
