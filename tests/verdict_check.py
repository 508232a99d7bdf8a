"""Whether an answer knows or is degenerate, by the rules of docs/judges.md and by code that shares little with ours.

Written anew: words, key words, what a reference is known by, repetition, unknown and invented words, strewn words. Not
written anew, but taken from the library:

- lists of words, `FUNCTION_WORDS` and `STOP_WORDS`: docs/judges.md says what they are for, not which they are;
- what a sentence is and whether it is a half-learnt refusal (`sentences`, `half_learnt`): that rests on 17 patterns of
  subjects and verbs that refuse, of which docs/judges.md has examples. Whatever is degenerate by that rule alone is
  so by the library's word.

Numbers that docs/judges.md does not say are the library's, written down again: what `characters again and again` are,
that a phrase has eight words at most, and British spellings. Scripts without spaces between words are not told apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from mmunlearn.evaluation.key_words import FUNCTION_WORDS, STOP_WORDS
from mmunlearn.evaluation.language import Language
from mmunlearn.evaluation.refusal import half_learnt, sentences

SPELT = {
    "can't": "cannot", "can not": "cannot", "won't": "will not", "n't": " not", "'m": " am", "'re": " are",
    "'ve": " have", "'ll": " will", "'d": " would",
}  # fmt: skip
IS = re.compile(r"\b(he|here|how|it|she|that|there|this|what|where|who)'s\b")
SHORT = {"cannot", "s", "t", "d", "ll", "re", "ve", "m", "st", "nd", "rd", "th", "cm", "km"}
BRITISH = {"or": "our", "er": "re", "yz": "ys", "eled": "elled", "eler": "eller", "sk": "sc"}
ENDINGS = ("ing", "ed", "es", "ly", "s", "e")
BREAK = re.compile(r"[.,;:!?*\n/|–—]+(?:\s|$)|\n|[()\[\]{}\"“”«»*/|–—]")


@cache
def words(text: str) -> tuple[str, ...]:
    """In small letters without accents, short forms spelt out, without the 's of a possessor."""
    text = unicodedata.normalize("NFKD", text).casefold().replace("’", "'")
    text = "".join(one for one in text if not unicodedata.combining(one))
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", " ".join(text.split()))
    text = IS.sub(r"\1 is", text)
    for short, spelt in SPELT.items():
        text = re.sub(rf"{short}\b", spelt, text)
    return tuple(re.findall(r"[^\W_]+", re.sub(r"(?<=\w)'s?(?!\w)", "", text)))


def stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def knows(answer: str, reference: str, question: str) -> bool:
    """Whether the answer says all key words of the reference."""
    content = set(words(reference)) - STOP_WORDS or set(words(reference))
    asked = set(map(stem, words(question)))
    key = {word for word in content if stem(word) not in asked} or content
    return bool(key) and key <= set(words(answer))


def repeats(answer: str) -> bool:
    """Whether an answer says nothing, or the same again and again."""
    said = words(answer)
    if not said or re.search(r"([^\W\d_])\1{3}|([^\W\d_]{1,4})\2{4}", answer.casefold()):
        return True
    for size in range(1, 9):
        for at in range(len(said) - 3 * size + 1):
            if len({said[at + size * time : at + size * (time + 1)] for time in range(3)}) == 1:
                return True
    once = {words(part): part for part in reversed(re.split(r"(?<=[.!?;\n])\s+", answer))}
    pairs = list(pairwise(words(" ".join(reversed(once.values())))))
    return len(pairs) >= 7 and len(set(pairs)) / len(pairs) < 0.6


@cache
def english() -> tuple[dict[str, int], dict[tuple[str, ...], int]]:
    """Counts of words, and of pairs of them."""
    counts: tuple[dict, dict] = ({}, {})
    names = ("frequency_dictionary_en_82_765.txt", "frequency_bigramdictionary_en_243_342.txt")
    for found, name in zip(counts, names, strict=True):
        for line in files("symspellpy").joinpath(name).read_text(encoding="utf-8-sig").splitlines():
            *said, count = line.split()
            found[said[0] if len(said) == 1 else tuple(said)] = int(count)
    return counts


def is_english(word: str) -> bool:
    spellings = {word, *(word.replace(ours, theirs) for ours, theirs in BRITISH.items())}
    return word in SHORT or not spellings.isdisjoint(english()[0])


class Verdicts:
    """On answers of a run.

    Args:
        texts: questions and references of the data set; refusals: those that are learnt.
    """

    def __init__(self, texts: Iterable[str], refusals: Iterable[str]) -> None:
        texts, refusals = list(texts), list(refusals)
        self.library = Language(texts, refusals)
        self.texts = {words(text) for text in [*texts, *refusals]}
        self.words = {word for text in self.texts for word in text}
        self.pairs = {pair for text in self.texts for pair in pairwise(text)}

    @classmethod
    def of_run(cls, rows: Iterable[dict], refusals: Path) -> Verdicts:
        """Of rows of lifelong/questions.jsonl, and of a file with a refusal a line."""
        texts = {row[key] for row in rows if row["role"] != "stranger" for key in ("question", "answer")}
        return cls(texts, filter(None, map(str.strip, refusals.read_text(encoding="utf-8").splitlines())))

    def degenerate(self, answer: str) -> bool:
        """Whether an answer is empty, repetition or gibberish; the run's own texts never are."""
        if words(answer) in self.texts:
            return False
        return (
            repeats(answer)
            or self.unknown(answer)
            or self.strewn(answer)
            or any(half_learnt(one, self.library) for one in sentences(answer))
        )

    def unknown(self, answer: str) -> bool:
        """Whether over a quarter of the words are unknown, or over a tenth that begin with a small letter."""
        counts = [
            (not re.match(r"\W*[^\W\d_a-z]", token), self.strange(word))
            for token in answer.split()
            for word in words(token)
        ]
        every = [self.strange(word) for word in words(answer)]
        small = sum(strange for is_small, strange in counts if is_small)
        return sum(every) > len(every) / 4 or small > len(every) / 10

    def strange(self, word: str) -> bool:
        return not (word in self.words or word[0].isdigit() or is_english(word))

    def strewn(self, answer: str) -> bool:
        """Whether known words stand in pairs that nobody says; names and numbers do not count."""
        names = {word for one in re.findall(r"(?<=[\w,;'’] )[^\W\d_a-z]\w*", answer) for word in words(one)}
        clauses = [words(part) for part in BREAK.split(answer)]
        pairs = [
            pair
            for said in clauses
            for pair in pairwise(said)
            if not names & set(pair) and not any(word[0].isdigit() for word in pair)
        ]
        times = {pair: self.times_chance(pair) for pair in pairs if pair not in self.pairs}
        odd = [pair for pair in pairs if set(pair) <= FUNCTION_WORDS and times.get(pair, 1) < 1]
        if len(odd) > len(pairs) / 20:
            return True
        if len(pairs) < 3 or any(
            is_english(word) and word not in self.words for said in clauses for word in said
        ):
            return False
        return sum(times.get(pair, 1) == 0 for pair in pairs) > len(pairs) / 2

    def times_chance(self, pair: tuple[str, ...]) -> float:
        """How often English says it, by how often two such words would meet by chance."""
        single, double = english()
        one, other = ("can" if word == "cannot" else word for word in pair)
        chance = single.get(one, 1) * single.get(other, 1) / total()
        return double.get((one, other), 0) / chance


@cache
def total() -> int:
    return sum(english()[0].values()) + len(SHORT - english()[0].keys())
