"""Key words of a reference: what an answer must say to be right, found by words alone.

Words are folded (`text.fold`), so case and accents do not matter. Scripts without spaces have no word boundaries:
there a run of characters is one word, and is looked for anywhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mmunlearn.text import UNSPACED, fold

UNSPACED_WORD = re.compile(f"[{UNSPACED}]+")
_WORD = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # 1,000
_POSSESSIVE = re.compile(r"(?<=[^\W_])'s?(?![^\W_])")
_CONTRACTED = tuple(
    (re.compile(rf"{short}(?![^\W_])"), spelled)
    for short, spelled in {
        r"\b(he|here|how|it|she|that|there|this|what|where|who)'s": r"\1 is",
        r"\bcan't": "cannot", r"\bcan not": "cannot", r"\bwon't": "will not", "n't": " not", "'m": " am", "'re": " are",
        "'ve": " have", "'ll": " will", "'d": " would",
    }.items()
)  # fmt: skip
_ENDING = re.compile(r"(?<=...)(?:ing|ed|es|s|e|ly)$")

FUNCTION_WORDS = frozenset(
    _WORD.findall("""
    a an the this that these those some any each every both other such own same and or but nor if as than then so of in
    on at to from by for with into onto over under through during between among about along across near within without
    against toward towards upon off up down out i me my we us our you your he him his she her hers it its they them
    their theirs who whom whose which what when where why how is are was were be been being am do does did done have
    has had having can could will would shall should may might must also there here
    """)
)
"""English words that hold a sentence together."""
STOP_WORDS = FUNCTION_WORDS.union(
    _WORD.findall("""
    around very often mostly usually commonly typically primarily mainly generally just one ones kind type thing things
    picture image photo name named names title titled called known
    """)
)
"""Words that no reference is recognised by: besides those, what questions on pictures say."""


def words(text: str) -> list[str]:
    """The folded words of a text, in order: 'Søby’s 1,000 mice can't' has soby, 1000, mice and cannot."""
    return list(_words(text))


@lru_cache(maxsize=65536)
def _words(text: str) -> tuple[str, ...]:
    plain = _GROUPED.sub("", fold(text))
    for contracted, spelled in _CONTRACTED if "'" in plain or " not" in plain else ():
        plain = contracted.sub(spelled, plain)
    return tuple(_WORD.findall(_POSSESSIVE.sub("", plain)))


@lru_cache(maxsize=4096)
def _key_words(text: str, question: str) -> tuple[str, ...]:
    every = list(dict.fromkeys(words(text)))
    content = [word for word in every if word not in STOP_WORDS] or every
    stems = {_ENDING.sub("", word) for word in words(question)}
    new = [word for word in content if _ENDING.sub("", word) not in stems]
    return tuple(new or content)


def key_words(text: str, question: str = "") -> list[str]:
    """The content words of a reference, each once, in order; those that the question says, in any form, do not count.

    A text of stop words alone keeps all of its words, and one that says no more than the question its content words.
    """
    return list(_key_words(text, question))


def share_known(answer: str, reference: str, question: str = "") -> float:
    """The share of the reference's key words that the answer says, in [0, 1]; 0 where the reference has no word."""
    expected = _key_words(reference, question)
    said = words(answer)
    whole, runs = set(said), [word for word in said if UNSPACED_WORD.match(word)]
    known = sum(word in whole or any(word in run for run in runs) for word in expected)
    return known / len(expected) if expected else 0.0


def knows(answer: str, reference: str, question: str = "") -> bool:
    """Whether an answer says every key word of the reference."""
    return share_known(answer, reference, question) == 1.0
