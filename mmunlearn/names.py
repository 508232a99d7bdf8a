"""Name accuracy: did an answer say the full name?"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from mmunlearn.text import UNSPACED, fold, name_words

_WORD = rf"[^\W_{UNSPACED}]"  # a letter or digit of a script that puts spaces between words
_GAP = re.compile(rf"(?<=[{UNSPACED}])[ ·・‧•]+(?=[{UNSPACED}])")
_EDGE_STARS = re.compile(r"(?<![^\W_])\*+|\*+(?![^\W_])")
_ESCAPE = re.compile(r"\\(?=[*_.\-])")
_SHORT = re.compile(
    "capt|col|dr|esq|fr|gen|gov|hon|i{2,3}|iv|jr|lt|mrs?|ms|mt|mx|phd|prof|rep|rev|sen|sgt|sr|ste?"
)
_SUFFIX = re.compile("esq|i{2,3}|iv|jr|md|ph|phd|sr")
_TIGHT = re.compile(r"(?<=[^\W_])[\u2012\u2013](?=[^\W_])")  # a dash for a hyphen; a long one parts sentences
_OTHER_INITIAL = r"(?<!\b[^\W\d_]\.)(?<!\b[^\W\d_]\. )"


def says_name(answer: str, name: str) -> bool:
    """Whether `answer` holds the full `name`, both folded alike (`text.fold`, `text.name_words`).

    The words of the name must follow each other. Case, accents, ligatures, line breaks, kinds of hyphens and
    apostrophes do not matter, nor whether there is a hyphen or a blank between two words, a point behind an initial or
    an abbreviation (`A.B. Lund`, `A. B. Lund`, `AB Lund`; `Jr`, `Jr.`), or Markdown's emphasis.

    No part of a name counts: not a first or last name alone, not a name inside another word or inside a longer one by
    hyphen, apostrophe or initial (`Ada Lund-Berg`, `O'Neil Ek` for Neil Ek, `C. A. Lund` for A. Lund). What follows an
    apostrophe may be anything: `Ada Lund's` says Ada Lund. Chinese and other scripts without spaces have no word
    boundaries: there the name's characters in a row count, spaces and middle dots or not. Raises ValueError for an
    empty name, which every answer would contain.
    """
    pattern, starred = _pattern(name)
    text = _TIGHT.sub("-", _ESCAPE.sub("", answer))
    text = fold(_EDGE_STARS.sub("", text) if starred else text.replace("*", "")).replace("_", " ")
    return pattern.search(_GAP.sub("", " ".join(text.split()))) is not None


@lru_cache(maxsize=4096)
def _pattern(name: str) -> tuple[re.Pattern[str], bool]:
    """What to look for, and whether an asterisk is part of it, not Markdown."""
    plain = _EDGE_STARS.sub("", _ESCAPE.sub("", name))
    words = name_words(plain)
    if not words:
        raise ValueError("the name to look for is empty; give every person a name")
    pointed = {word for word in words if f"{word}." in fold(plain)}
    parts = [re.escape(words[0])]
    for one, other in pairwise(words):
        parts += [_between(one, other, pointed), re.escape(other)]
    before = rf"(?<!{_WORD})(?<!{_WORD}['-])" if re.match(_WORD, words[0]) else ""
    before += _OTHER_INITIAL if len(words[0]) == 1 else ""
    behind = rf"(?!-?{_WORD})" if re.match(_WORD, words[-1][-1]) else ""
    return re.compile(before + "".join(parts) + behind), "*" in plain


def _between(one: str, other: str, pointed: set[str]) -> str:
    """What may stand between two words of a name."""
    if re.match(f"[{UNSPACED}]", one[-1]) and re.match(f"[{UNSPACED}]", other):
        return "-?"
    if len(one) <= 2 and len(other) == 1 and (len(one) == 1 or one in pointed):
        return r"[ .\-]{0,3}"  # initials, Ph.D.
    comma = ",?" if _SUFFIX.fullmatch(other) else ""
    if len(one) == 1 or one in pointed or _SHORT.fullmatch(one):
        return rf"(?:\.?{comma}[ –-]{{1,2}}|\.)"
    return rf"{comma}[ –·・‧•-]{{1,2}}"
