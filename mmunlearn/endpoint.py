"""Where a chat endpoint is and the key to it: checked when the configuration is read, and never repeated.

The key is read from the environment when a call is really made. Addresses and names are shown as `shown_url` and
`shown_name` give them, and what others say as `redacted` gives it: no secret gets into a message or an artefact.
"""

from __future__ import annotations

import hashlib
import os
import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit

NAMES_A_KEY = re.compile(r"[A-Z][A-Z0-9_]*(KEY|TOKEN|SECRET|PASSWORD)S?(_[A-Z0-9]{1,8})?")
"""Names of variables that may be repeated even if no such variable is set; others may be a pasted key."""
SHORTEST_KEY = 8
"""Letters of what is taken for a secret: servers without a key are often given words such as EMPTY."""
HIDDEN = "[key]"

Concern = Literal["text", "unclear", "moment", "all"]


class ChatError(RuntimeError):
    """A call failed for good, or cannot be made. The message says the status and what to do, never the key.

    Attributes:
        concerns: `text`, what this one call sent; `unclear`, that or every call: what becomes of others shows it;
            `moment`, the endpoint just now; `all`, every call alike: no key, a wrong one, no such model.
        answered: whether the endpoint said anything.
        finding: what was found, without what was asked and what to do.
        status: with which the server said no, and so will not bill the call; None where it did not.
    """

    def __init__(
        self,
        message: str,
        concerns: Concern = "all",
        *,
        answered: bool = False,
        finding: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.concerns, self.answered, self.finding, self.status = (
            concerns,
            answered,
            finding or message,
            status,
        )


def check_endpoint(base_url: str, key_env: str | None) -> None:
    """Raise ChatError where an address or a name is none or holds a secret, or where a key would go in the open."""
    checked_url(base_url)
    if checked_name(key_env) is not None and urlsplit(base_url).scheme == "http" and not is_local(base_url):
        raise ChatError(
            f"Asked to send a key to {shown_url(base_url)}. Found plain http, which anyone on the way can read. Write "
            "https://, or set key_env to null for a server that needs no key."
        )


def has_key(key_env: str | None) -> bool:
    """Whether the key is there, where one is needed."""
    return key_env is None or bool(os.environ.get(key_env, "").strip())


def read_key(key_env: str | None, base_url: str) -> str:
    if key_env is None:
        return ""
    key = os.environ.get(key_env, "").strip()
    if not key:
        safe = NAMES_A_KEY.fullmatch(key_env)
        raise ChatError(
            f"Asked {f'the environment variable {key_env}' if safe else 'the variable that key_env names'} for the "
            f"key of {shown_url(base_url)}. Found nothing. Set it (export {key_env if safe else 'NAME'}=...), or set "
            "key_env to null for a server that needs no key."
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise ChatError(
            f"Asked the environment variable {key_env} for the key of {shown_url(base_url)}. Found white space or "
            "letters that no key has in it. Copy the key again."
        )
    return key


def checked_name(key_env: str | None) -> str | None:
    if key_env is not None and (
        not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_env) or looks_like_key(key_env)
    ):
        raise ChatError(
            "Asked for the variable that key_env names. Found no name of an environment variable but what may be a "
            "key, not repeated here. Put the key into a variable (export NAME=...) and write its name, e.g. "
            "OPENAI_API_KEY."
        )
    return key_env


def checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"[^\s\x00-\x1f\x7f\\]+", base_url):
        raise ChatError(
            "Asked for the endpoint's address in base_url. Found no web address. Write one such as "
            "https://api.openai.com/v1 or http://127.0.0.1:8000/v1."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ChatError(
            "Asked for the endpoint's address in base_url. Found a user, a password or a query in it. Write the bare "
            "address, and put the key into the variable that key_env names."
        )
    return base_url.rstrip("/")


def is_local(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def looks_like_key(word: str) -> bool:
    """Whether a part of a word is as long as no name's: 20 letters, or 12 with a digit."""
    return any(
        len(part) >= (12 if re.search(r"[0-9]", part) else 20) for part in re.split(r"[^A-Za-z0-9]+", word)
    )


def shown_url(url: str) -> str:
    """An address without user, password and query, and without parts of its path that look like keys."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no web address)"
    path = "/".join(HIDDEN if looks_like_key(one) else one for one in parts.path.split("/"))
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], path, "", "").geturl()


def identity_of(base_url: str) -> str:
    """What tells an address from all others: itself, with a digest in place of what is not shown."""
    shown, plain = shown_url(base_url.rstrip("/")), base_url.rstrip("/")
    return shown if shown == plain else f"{shown}#{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def shown_name(key_env: str | None) -> str | None:
    """The name of a key's variable; not a word that may be the key itself."""
    safe = key_env is None or (NAMES_A_KEY.fullmatch(key_env) and not looks_like_key(key_env))
    return key_env if safe else "(not shown: it may be a key)"


def redacted(text: str, key: str = "") -> str:
    """What another program said, on one line, without addresses' secrets and without keys: this one, its beginning and
    end (servers quote those), and whatever else the environment holds under a key's name."""
    for n in range(len(key), SHORTEST_KEY - 3, -1):
        if len(key) >= SHORTEST_KEY:
            text = text.replace(key[:n], HIDDEN).replace(key[-n:], HIDDEN)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST_KEY and NAMES_A_KEY.fullmatch(name.upper()):
            text = text.replace(value, HIDDEN)
    text = re.sub(r"https?://[^\s'\"<>)]+", lambda url: shown_url(url[0]), text)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
