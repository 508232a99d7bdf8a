"""Text as it is compared: names are the same however they are typed."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Case, accents and runs of white space folded away, so that 'JOSÉ\\nDiaz' equals 'jose diaz'."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(plain.casefold().split())
