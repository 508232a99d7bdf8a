"""Text as it is compared: names are the same however they are typed."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without reliable spaces between words, as part of a regular expression's character class: Thai, Lao,
Burmese, Khmer, kana, Han and Hangul."""

_SAME = {
    **dict.fromkeys(
        map(ord, "\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u2032\u055a\u05f3\ua78c\u00b4\u0060"), "'"
    ),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb"), '"'),
    **dict.fromkeys(map(ord, "\u2043\u2212"), "-"),
    **dict.fromkeys(
        (0x640, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)), ""
    ),  # tatweel, variation selectors
    **{ord(letter): plain for letter, plain in zip("øłđħıðŧŋ", "oldhidtn", strict=True)},
    **{ord(letter): plain for letter, plain in (("æ", "ae"), ("œ", "oe"), ("þ", "th"))},
}
_LETTER_PARTS = (7, 8, 9)  # combining classes of nukta, kana voicing and virama: they make another letter
_HYPHENS = "-\u058a\u05be\u2010\u2011\ufe63\uff0d"
_BETWEEN = re.compile(r"[\s_\-–.,·・‧•]+")
_CAPITALS = re.compile(r"(?<![^\W\d_])(?:[A-Z]{2}|[B-DF-HJ-NP-TV-XZ]{3})(?![^\W_])")


def fold(text: str) -> str:
    """Case, accents, ligatures, widths, digits of any script, kinds of hyphens, dashes, apostrophes and quotation
    marks and runs of white space folded away.

    'JOSÉ\\nDíaz' equals 'jose diaz', and 'O’Neil‑Søby' equals "o'neil-soby". Letters of other scripts stay what
    they are; characters without a shape, such as soft hyphens, are dropped. Folding twice changes nothing more.
    """
    if text.isascii():  # the same, and ten times as fast
        return " ".join(text.casefold().replace("`", "'").split())
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).casefold()
    plain = "".join(filter(None, map(_plain, decomposed.translate(_SAME))))
    return " ".join(unicodedata.normalize("NFC", plain).split())


def _plain(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind == "Pd":
        return "-" if letter in _HYPHENS else "–"
    if kind == "Nd":
        return str(unicodedata.decimal(letter))
    if kind == "Cf":
        return ""
    return "" if unicodedata.combining(letter) not in (0, *_LETTER_PARTS) else letter


def name_words(name: str) -> list[str]:
    """The folded words of a name, by which two names are the same: 'A.B. Lund-Ek Jr.' has a, b, lund, ek and jr.

    Blanks, hyphens, points, commas and middle dots part words. Each initial is a word, also those of 'AB Lund', unless
    the whole name is in capitals.
    """
    if name != name.upper():
        name = _CAPITALS.sub(lambda match: " ".join(match[0]), name)
    return [word for word in _BETWEEN.split(fold(name)) if word.strip("*")]


def model_token(text: str) -> str | None:
    """The first part of a text, such as `<image>` or `<|im_end|>`, that models may read as a token of their own."""
    found = re.search(r"<[^<>\s]+>", text)
    return found and found[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a message: the closest known name, or all of them."""
    names = sorted(known)
    match = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(names)}"
