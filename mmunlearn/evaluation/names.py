"""Name accuracy: did an answer say the full name?"""

from __future__ import annotations

import re

from mmunlearn.text import UNSPACED, fold

_SPACED = rf"[^\W_{UNSPACED}]"  # a letter or digit of a script that puts spaces between words
_GAP = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")


def says_name(answer: str, name: str) -> bool:
    """Whether `answer` holds the full `name` between word boundaries, both folded (`text.fold`).

    A first or last name alone does not count, nor a name inside another word; a line break inside the name, another
    case, accents, asterisks of emphasis and kinds of hyphens and apostrophes do not matter. Hyphens and apostrophes
    end a word: "Ada Lund's" says Ada Lund. Chinese and other scripts without spaces have no word boundaries: there the
    name's characters in a row count, spaces or not. Raises ValueError for an empty name, which every answer would
    contain.
    """
    pattern, text = (_GAP.sub("", fold(one)) for one in (name, answer.replace("*", "")))
    if not pattern:
        raise ValueError("the name to look for is empty; give every person a name")
    before = rf"(?<!{_SPACED})" if re.match(_SPACED, pattern) else ""
    behind = rf"(?!{_SPACED})" if re.match(_SPACED, pattern[-1]) else ""
    return re.search(f"{before}{re.escape(pattern)}{behind}", text) is not None
