"""A conversation with a server of tests.loopback."""

from __future__ import annotations

KEY = "sk-secret-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
ASK = [{"role": "user", "content": "Say a word."}]
