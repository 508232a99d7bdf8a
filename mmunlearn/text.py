"""Text as it is compared: names are the same however they are typed."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without reliable spaces between words, as part of a regular expression's character class: Thai, Lao,
Burmese, Khmer, kana, Han and Hangul."""

_SAME = {ord(one): "'" for one in "\u2018\u2019\u02bb\u02bc\u00b4\u0060\uff07"} | {
    ord(stroke): plain for stroke, plain in zip("øłđħı", "oldhi", strict=True)
}
_LETTER_PARTS = (7, 8, 9)  # combining classes of nukta, kana voicing and virama: they make another letter


def fold(text: str) -> str:
    """Case, accents, widths, kinds of hyphens and apostrophes and runs of white space folded away.

    'JOSÉ\\nDíaz' equals 'jose diaz', and 'O’Neil‑Søby' equals "o'neil-soby". Letters of other scripts stay what
    they are; characters without a shape, such as soft hyphens, are dropped. Folding twice changes nothing more.
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).casefold()
    plain = "".join(filter(None, map(_plain, decomposed.translate(_SAME))))
    return " ".join(unicodedata.normalize("NFC", plain).split())


def _plain(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind == "Pd":
        return "-"
    if kind == "Cf":
        return ""
    return "" if unicodedata.combining(letter) not in (0, *_LETTER_PARTS) else letter


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a message: the closest known name, or all of them."""
    names = sorted(known)
    match = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(names)}"
