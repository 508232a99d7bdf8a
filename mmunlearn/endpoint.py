"""Where a chat endpoint is and the key to it: checked, and never repeated in an error.

The key is read from the environment when a call is really made.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from urllib.parse import urlsplit

NAMES_A_KEY = re.compile(r"[A-Z][A-Z0-9_]*_(KEY|TOKEN)")
"""Names of variables that errors may repeat even if no such variable is set; others may be a pasted key."""


class ChatError(RuntimeError):
    """A call failed for good, or cannot be made. The message says the status and what to do, never the key.

    Attributes:
        everywhere: whether any other call would fail alike: no key, a wrong one, no such model.
        answered: whether the endpoint said anything.
    """

    def __init__(self, message: str, everywhere: bool = True, answered: bool = False) -> None:
        super().__init__(message)
        self.everywhere, self.answered = everywhere, answered


def read_key(key_env: str | None, base_url: str) -> str:
    if key_env is None:
        return ""
    key = os.environ.get(key_env, "").strip()
    if not key:
        safe = NAMES_A_KEY.fullmatch(key_env)
        raise ChatError(
            f"Asked {f'the environment variable {key_env}' if safe else 'the variable that key_env names'} for the "
            f"key of {base_url}. Found nothing. Set it (export {key_env if safe else 'NAME'}=...), or set key_env to "
            "null for a server that needs no key."
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise ChatError(
            f"Asked the environment variable {key_env} for the key of {base_url}. Found white space or letters that "
            "no key has in it. Copy the key again."
        )
    return key


def checked_name(key_env: str | None) -> str | None:
    if key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key_env):
        raise ChatError(
            "Asked for the name of an environment variable in key_env. Found something else, not repeated here as it "
            "may be a key. Put the key into a variable, e.g. OPENAI_API_KEY, and write that name."
        )
    return key_env


def checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ChatError(
            "Asked for the endpoint's address in base_url. Found no web address. Write one such as "
            "https://api.openai.com/v1 or http://127.0.0.1:8000/v1."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
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
