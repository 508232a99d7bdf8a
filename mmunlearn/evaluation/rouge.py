"""ROUGE-L F1, equal to the package rouge-score 0.1.2 (no stemmer) on ASCII, and defined beyond it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

# Han, Hiragana, Katakana and Hangul have no spaces between words: a character is a token.
_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def tokens(text: str) -> list[str]:
    """Lower-case words of letters and digits of any script."""
    return _TOKEN.findall(text.lower())


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
