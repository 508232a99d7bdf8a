"""ROUGE-L F1, equal to the package rouge-score 0.1.2 (no stemmer) on ASCII, and defined beyond it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from mmunlearn.text import UNSPACED

# Accents and vowel signs that follow their letter belong to its word (all scripts below U+1000).
_MARKS = "".join(
    chr(code) for code in range(0x300, 0x1000) if unicodedata.category(chr(code)).startswith("M")
)
# Where no spaces are between words, a character is a token.
_TOKEN = re.compile(rf"[{UNSPACED}]|(?:[^\W_{UNSPACED}][{_MARKS}]*)+")


def tokens(text: str) -> list[str]:
    """Lower-case words of letters and digits of any script, single characters of scripts without spaces."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of tokens, in [0, 1]; 0 where either side has no token."""
    return _f1(tokens(answer), tokens(reference))


def _f1(answer: Sequence[str], reference: Sequence[str]) -> float:
    if not answer or not reference:
        return 0.0
    common = LCSseq.similarity(answer, reference)
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(reference)
    return 2 * precision * recall / (precision + recall)
