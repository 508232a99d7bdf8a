"""Degenerate answers: nothing that anybody would say, whatever was asked."""

from __future__ import annotations

import re
from itertools import pairwise

from mmunlearn.evaluation.key_words import words

_RUN = re.compile(r"([^\W\d_]{1,4}?)\1{4,}|([^\W\d_])\2{3,}")
"""Characters again and again within a word: Oalalalalal, helaaaaa."""
REPEATS = 3
"""Times in a row that a phrase is said when it is a loop."""
LONGEST = 8
"""Words of a loop's phrase, at most."""
FEW = 0.6
"""Share of different word pairs under which eight words or more go round in circles."""


def degenerate(answer: str) -> bool:
    """Whether an answer is empty, goes round in circles, or runs on within a word."""
    said = words(answer)
    if not said or _RUN.search(answer.casefold()):
        return True
    pairs = list(pairwise(said))
    circles = len(said) >= 8 and len(set(pairs)) < FEW * len(pairs)
    return circles or loops(said)


def loops(said: list[str]) -> bool:
    """Whether a phrase is said `REPEATS` times in a row or more."""
    return any(
        said[at : at + size] * (REPEATS - 1) == said[at + size : at + size * REPEATS]
        for size in range(1, LONGEST + 1)
        for at in range(len(said) - size * REPEATS + 1)
    )
