"""Degenerate answers: nothing that anybody would say, whatever was asked."""

from __future__ import annotations

import re
from itertools import pairwise

from mmunlearn.evaluation.key_words import FUNCTION_WORDS, words
from mmunlearn.evaluation.language import Language
from mmunlearn.evaluation.refusal import half_learnt, sentences

_RUN = re.compile(r"([^\W\d_]{1,4}?)\1{4,}|([^\W\d_])\2{3,}")
"""Characters again and again within a word: Oalalalalal, helaaaaa."""
_AFTER_SENTENCE = re.compile(r"(?<=[.!?;\n])\s+")
_SINGLE = FUNCTION_WORDS - {"had", "that"}  # he had had
REPEATS = 3
"""Times in a row that a phrase is said when it is a loop."""
LONGEST = 8
"""Words of a loop's phrase, at most."""
FEW = 0.6
"""Share of different word pairs under which a text of eight words goes round in circles."""
UNKNOWN, INVENTED = 0.25, 0.1
"""Share of unknown words over which an answer is gibberish; and of those that begin with a small letter, as no name
does."""


def degenerate(answer: str, language: Language) -> bool:
    """Whether an answer is empty, goes round in circles, runs on within a word, or is no language.

    No language are words that do not exist, known words that are strewn (`Language.salad`) and refusals that are half
    learnt (`refusal.half_learnt`). A text of the run is never degenerate.

    Args:
        language: of the run.
    """
    if language.says(answer):
        return False
    return circles(answer) or no_language(answer, language)


def circles(answer: str) -> bool:
    """Whether an answer is empty, repeats a phrase again and again, or characters within a word."""
    said = words(answer)
    if not said or _RUN.search(answer.casefold()) or loop(said):
        return True
    pairs = list(pairwise(words(_sentences_once(answer))))
    return len(pairs) > 6 and len(set(pairs)) < FEW * len(pairs)


def loop(said: list[str], times: int = REPEATS) -> tuple[int, int] | None:
    """Where a phrase begins that is said so many times in a row or more, and how many words it has.

    Twice counts of several words and of one that holds a sentence together, as others are said so for emphasis.
    """
    for size in range(1, LONGEST + 1):
        for at in range(len(said) - size * times + 1):
            phrase = said[at : at + size]
            if phrase * (times - 1) == said[at + size : at + size * times] and (
                size > 1 or times >= REPEATS or phrase[0] in _SINGLE
            ):
                return at, size
    return None


def stuck(said: list[str]) -> bool:
    """Whether such a word is said `REPEATS` times in a row: I I I I."""
    return any(
        said[at] in FUNCTION_WORDS and said[at : at + REPEATS] == [said[at]] * REPEATS
        for at in range(len(said) - REPEATS + 1)
    )


def said_once(answer: str) -> str:
    """An answer with every sentence once, and once whatever is said again and again (`loop`)."""
    tokens = _sentences_once(answer).split()
    said = ["".join(words(token)) for token in tokens]
    while found := loop(said) or loop(said, 2):
        at, size = found
        while said[at : at + size] == said[at + size : at + 2 * size]:
            del said[at : at + size], tokens[at : at + size]
    return " ".join(tokens)


def _sentences_once(answer: str) -> str:
    parts: dict[tuple[str, ...], str] = {}
    for part in _AFTER_SENTENCE.split(answer):
        parts.setdefault(tuple(words(part)), part)
    return " ".join(parts.values())


def no_language(answer: str, language: Language) -> bool:
    """Whether an answer is gibberish, strewn words or a half-learnt refusal."""
    said, invented = words(answer), language.invented(answer)
    if len(language.unknown(said)) > UNKNOWN * len(said) or invented > INVENTED * len(said):
        return True
    if language.salad(answer):
        return True
    return any(half_learnt(sentence, language) for sentence in sentences(answer))
