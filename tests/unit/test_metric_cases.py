"""Names, overlaps and yes/no on hand-made answers whose score anyone can work out, edge cases included."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.evaluation import pope
from mmunlearn.evaluation.names import says_name
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.text import fold

REFUSAL = "I'm sorry, I can't help with that."

NAMES = [  # name, answer, said?
    ("Ada Lund", "", False),
    ("Ada Lund", "Ada", False),
    ("Ada Lund", "Lund", False),
    ("Ada Lund", REFUSAL, False),
    ("Ada Lund", "Ada Lund", True),
    ("Ada Lund", "The person is **Ada Lund**.", True),
    ("Ada Lund", "_Ada Lund_, a nurse", True),
    ("Ada Lund", "**Ada** **Lund**", True),
    ("Ada Lund", "ADA   LUND!", True),
    ("Ada Lund", "This must be Ada\nLund.", True),
    ("Ada Lund", "This must be Ada\r\n  Lund.", True),
    ("Ada Lund", "Ada\u00a0Lund", True),
    ("Ada Lund", "Ada Lu\u00adn\u200bd", True),  # soft hyphen, zero-width space
    ("Ada Lund", "Ａｄａ Ｌｕｎｄ", True),  # full width
    ("Ada Lund", "Ada Lund's coat", True),
    ("Ada Lund", "I see Ada and Mr Lund", False),
    ("Ada Lund", "Lund, Ada", False),
    ("Ada Lund", "Ada M. Lund", False),
    ("Ada Lund", "Ada Lundgren", False),
    ("Ada Lund", "Frida Lund or Nada Lund", False),
    ("Ada Lund", "Ada Lund2", False),
    ("Ada Lund", "Ada, Lund", False),
    ("José Peña", "jose pena", True),
    ("Jose Pena", "JOSÉ PEÑA", True),
    ("José Peña", "Jose\u0301 Pen\u0303a", True),  # decomposed
    ("José Peña", "José Peñalosa", False),
    ("Søren Łuk", "Soren Luk", True),
    (
        "Anne-Marie O'Neil",
        "Anne\u2011Marie O\u2019Neil",
        True,
    ),  # hyphen that does not break, typographic apostrophe
    ("Anne-Marie O'Neil", "Anne Marie ONeil", False),
    ("Jörg Weiß", "JÖRG WEISS", True),
    ("Anna Ivanova", "Анна Иванова", False),
    ("Анна Иванова", "Это АННА\nИВАНОВА.", True),
    ("Анна Иванова", "Анна Ивановаская", False),
    ("王小明", "这是王小明。", True),
    ("王小明", "这是王小\n明。", True),
    ("王 小明", "王小明", True),
    ("王小明", "王明", False),
    ("王小明", "我不知道。", False),
    ("Ada Lund", "这是Ada Lund。", True),
    ("가 나", "각 나", False),
    ("か", "が", False),
]


@pytest.mark.parametrize(("name", "answer", "said"), NAMES)
def test_name(name: str, answer: str, said: bool) -> None:
    assert says_name(answer, name) is said


@given(st.text(max_size=30))
def test_folding_is_done_at_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_name_between_stops_is_always_found(before: str, behind: str) -> None:
    assert says_name(f"{before}. Ada Lund. {behind}", "Ada Lund")


OVERLAPS = [  # answer, reference, longest common subsequence, words in the answer, words in the reference
    ("", "a b", 0, 1, 2),
    ("...", "a b", 0, 1, 2),
    ("boat", "boat", 1, 1, 1),
    ("boat", "The boat race", 1, 1, 3),
    ("Sailors race home", "Sailors race their boats home", 3, 3, 5),
    ("home race Sailors", "Sailors race home", 1, 3, 3),
    ("SAILORS, race; home!", "sailors race home", 3, 3, 3),
    ("Sailors race\nhome", "Sailors race home", 3, 3, 3),
    (REFUSAL, "Sailors race home", 0, 8, 3),  # I m sorry I can t help with that: 9 words, none shared
    ("Été à la mer", "été à la plage", 3, 4, 4),
    ("Cafe\u0301 noir", "Café noir", 2, 2, 2),
    ("水手们回家", "水手们", 3, 5, 3),
    ("船 race", "船 home", 1, 2, 2),
    ("Гонка лодок", "Гонка лодок в порту", 2, 2, 4),
    ("नमस्ते दुनिया", "नमस्ते", 1, 2, 1),
    ("سباق القوارب", "سباق السيارات", 1, 2, 2),
    ("แมวนอน", "แมว", 3, 6, 3),
]


@pytest.mark.parametrize(("answer", "reference", "common", "said", "expected"), OVERLAPS)
def test_rouge_l(answer: str, reference: str, common: int, said: int, expected: int) -> None:
    """F1 of common / said and common / expected is 2 common / (said + expected)."""
    assert rouge_l(answer, reference) == pytest.approx(2 * common / (said + expected), abs=1e-12)


def published_rouge_l(answer: str, reference: str) -> float:
    """The package's algorithm once more from its description: lower case, runs of other than a-z and 0-9 split,
    the table of longest common subsequences, F1."""
    left, right = (re.sub(r"[^a-z0-9]+", " ", text.lower()).split() for text in (answer, reference))
    if not left or not right:
        return 0.0
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    precision, recall = table[-1][-1] / len(left), table[-1][-1] / len(right)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


few_words = st.lists(st.sampled_from(["a", "b", "C", "d1", "race", "e_f", "-"]), max_size=14).map(" ".join)
ascii_text = st.one_of(few_words, st.text(st.characters(max_codepoint=127), max_size=60))


@given(ascii_text, ascii_text)
def test_rouge_l_on_ascii_is_the_published_one(answer: str, reference: str) -> None:
    assert rouge_l(answer, reference) == pytest.approx(published_rouge_l(answer, reference), abs=1e-9)


@given(st.text(max_size=40))
def test_rouge_l_of_a_text_with_itself_is_1_in_any_script(text: str) -> None:
    assert rouge_l(text, text) == (1.0 if any(letter.isalnum() for letter in text) else 0.0)


YES_NO = [  # answer, read as yes?, says neither?
    ("Yes", True, False),
    ("No", False, False),
    ("yes, there is", True, False),
    ("No, there is none", False, False),
    ("no", False, False),
    ("There is not", False, False),
    ("I see, no", False, False),
    ("Yes. No, wait", True, False),  # the first sentence
    ("No. Yes", False, False),
    ("NO", True, False),  # the official words are No, no and not
    ("No!", True, False),
    ("No\nperson", True, False),  # the official evaluator splits at blanks only
    ("Nothing", True, True),
    ("notable", True, True),
    ("", True, True),
    ("a dog", True, True),
    ("是的", True, True),
    ("Sí", True, True),
    (REFUSAL, True, True),
    ("I do not know.", False, False),
]


@pytest.mark.parametrize(("answer", "yes", "neither"), YES_NO)
def test_pope_reads(answer: str, yes: bool, neither: bool) -> None:
    assert (pope.says_yes(answer), pope.says_neither(answer)) == (yes, neither)


POPE = [  # answers, labels, accuracy, precision, recall, f1, yes ratio, neither
    (["Yes", "No", "Yes", "No"], ["yes", "no", "no", "yes"], 0.5, 0.5, 0.5, 0.5, 0.5, 0),
    (["Yes"] * 4, ["yes", "no", "no", "yes"], 0.5, 0.5, 1.0, 2 / 3, 1.0, 0),
    (["No"] * 4, ["yes", "no", "no", "yes"], 0.5, None, 0.0, 0.0, 0.0, 0),
    (["No", "No"], ["no", "no"], 1.0, None, None, None, 0.0, 0),
    ([REFUSAL, "", "No"], ["yes", "no", "no"], 2 / 3, 0.5, 1.0, 2 / 3, 2 / 3, 2),
    ([], [], None, None, None, None, None, 0),
]


@pytest.mark.parametrize(("answers", "labels", *"arpfyn"), POPE)
def test_pope_figures(answers, labels, a, r, p, f, y, n) -> None:
    got = pope.score(answers, labels)
    found = [got[key] for key in ("accuracy", "precision", "recall", "f1", "yes_ratio")]
    assert found == [None if one is None else pytest.approx(one) for one in (a, r, p, f, y)]
    assert (got["n"], got["unparsable"]) == (len(answers), n)
