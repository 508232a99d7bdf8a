"""The language of a run: English, and the words and word pairs of its questions, references and refusals.

English is what the package symspellpy ships: 82,765 words and 243,342 pairs of words, with their counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from mmunlearn.evaluation.key_words import FUNCTION_WORDS, words
from mmunlearn.files import read_refusals
from mmunlearn.records import read_jsonl
from mmunlearn.tasks import TaskQuestion

CLAUSE = re.compile(r"[.,;:!?()\[\]{}\"“”«»*\n/|–—]+(?:\s|$)|\n|[()\[\]\"“”*/|–—]")
_NAME = re.compile(r"(?<=[\w,;'’] )[^\W\d_a-z]\w*")  # a capital within a sentence
_CAPITAL = re.compile(r"\W*[^\W\d_a-z]")
_SHORT_FORMS = ("cannot", "s", "t", "d", "ll", "re", "ve", "m", "st", "nd", "rd", "th", "cm", "km")
_BRITISH = (("or", "our"), ("er", "re"), ("yz", "ys"), ("eled", "elled"), ("eler", "eller"), ("sk", "sc"))
"""American spellings and those of the list."""
ODD = 0.05
"""Share of odd pairs of words that hold a sentence together, over which words are strewn."""


@cache
def english() -> tuple[dict[str, int], dict[str, int]]:
    """How often English words are said, and pairs of words (`of the`)."""
    folder = files("symspellpy")
    lists = ("frequency_dictionary_en_82_765.txt", "frequency_bigramdictionary_en_243_342.txt")
    texts = [folder.joinpath(name).read_text(encoding="utf-8-sig") for name in lists]
    single, double = (
        {said: int(count) for said, _, count in (row.rpartition(" ") for row in text.split("\n")) if said}
        for text in texts
    )
    return dict.fromkeys(_SHORT_FORMS, 1) | single, double


@cache
def _spoken() -> int:
    """All words that are counted."""
    return sum(english()[0].values())


def clauses(text: str) -> list[list[str]]:
    """The words of a text, clause by clause."""
    return [said for part in CLAUSE.split(text) if (said := words(part))]


class Language:
    """What can be said in a run.

    Args:
        texts: questions and references.
        refusals: sentences that models learn to decline with.
    Attributes:
        refusals, of_refusals: words of each, and of all of them.
    """

    def __init__(self, texts: Iterable[str] = (), refusals: Iterable[str] = ()) -> None:
        self.refusals = {tuple(words(text)) for text in refusals}
        self._texts = {tuple(words(text)) for text in texts} | self.refusals
        self._words = {word for text in self._texts for word in text}
        self.of_refusals = {word for text in self.refusals for word in text}
        self._pairs = {pair for text in self._texts for pair in pairwise(text)}

    @classmethod
    def read(cls, vocabulary: Path, refusals: Path) -> Language:
        """The language of a run: of its TaskQuestion rows, and of what its models learn to refuse with.

        Raises:
            RecordError, ValueError: as of `read_jsonl` and `read_refusals`.
        """
        rows = [row for row in read_jsonl(vocabulary, TaskQuestion) if row.role != "stranger"]
        texts = {text for row in rows for text in (row.question, row.answer)}
        return cls(texts, read_refusals(refusals))

    def says(self, text: str) -> bool:
        """Whether this is one of the run's own texts."""
        return tuple(words(text)) in self._texts

    def says_pair(self, one: str, other: str) -> bool:
        """Whether two words follow each other in the run's texts, or in English more often than by chance."""
        return (one, other) in self._pairs or _times_chance(one, other) >= 1

    def unknown(self, said: Iterable[str]) -> list[str]:
        """Words that are neither numbers, English nor of the run."""
        return [word for word in said if not (word in self._words or _number(word) or _english(word))]

    def invented(self, text: str) -> int:
        """How many words of a text are unknown and no names: they begin with a small letter."""
        small = (token for token in text.split() if not _CAPITAL.match(token))
        return sum(len(self.unknown(words(token))) for token in small)

    def salad(self, text: str) -> bool:
        """Whether words are strewn: known ones, in pairs that nobody says.

        Either one in twenty pairs is of two words that hold a sentence together, such as `the of`, and is said less
        often in English than such words meet by chance; or the text has no English word that the run's texts lack, as
        models with a small vocabulary speak, and English does not know more than half of its pairs. Pairs of the run's
        texts are never odd. MLUBench's 548 references, each against the others, keep both rules; strewn, 90% of them
        break one.
        """
        parts, names = clauses(text), {word for name in _NAME.findall(text) for word in words(name)}
        pairs = [pair for part in parts for pair in pairwise(part) if not names.intersection(pair)]
        pairs = [pair for pair in pairs if not any(map(_number, pair))]
        new = [pair for pair in pairs if pair not in self._pairs]
        broken = [pair for pair in new if FUNCTION_WORDS.issuperset(pair) and _times_chance(*pair) < 1]
        if len(broken) > ODD * len(pairs):
            return True
        if len(pairs) < 3 or any(
            _english(word) and word not in self._words for part in parts for word in part
        ):
            return False
        return 2 * sum(not _times_chance(*pair) for pair in new) > len(pairs)


def _times_chance(one: str, other: str) -> float:
    """How many times as often as by chance two words follow each other in English; 0 where nobody says so."""
    one, other = ("can" if word == "cannot" else word for word in (one, other))
    single, double = english()
    count = double.get(f"{one} {other}", 0)
    return count * _spoken() / (single.get(one, 1) * single.get(other, 1))


@lru_cache(maxsize=4096)
def _english(word: str) -> bool:
    known = english()[0]
    return word in known or any(word.replace(*spelt) in known for spelt in _BRITISH)


def _number(word: str) -> bool:
    return word[0].isdigit()
