"""Seeds that depend on what is drawn, never on when or in which job."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from the SHA-256 of its parts, e.g. `derive_seed(base, image_id, attempt)`."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
