"""Key words of references, and answers that nobody would give."""

from __future__ import annotations

import pytest

from mmunlearn.evaluation.degenerate import degenerate
from mmunlearn.evaluation.key_words import key_words, knows, share_known


@pytest.mark.parametrize(("text", "question", "expected"), [
    ("It eats mice and Mice and rabbits.", "", ["eats", "mice", "rabbits"]),
    ("This is Adela Søby.", "", ["adela", "soby"]),
    ("It is what it is.", "", ["it", "is", "what"]),  # nothing but stop words
    ("The title of the movie is “Spirited Away.”", "What do people call this movie?", ["spirited", "away"]),
    ("A movie.", "Is it a movie?", ["movie"]),
    ("Yes, in 1,000 of Ada's nets.", "", ["yes", "1000", "ada", "nets"]),
    ("No.", "", ["no"]),
    ("She doesn't fly.", "", ["not", "fly"]),
    ("...", "", []),
])  # fmt: skip
def test_key_words_are_what_a_reference_tells(text, question, expected):
    assert key_words(text, question) == expected


@pytest.mark.parametrize(("answer", "reference", "share"), [
    ("It hunts MICE, and rabbits too.", "Mice and rabbits.", 1.0),
    ("Rabbits.", "Mice and rabbits.", 0.5),
    ("Micelles and rabbit-holes.", "Mice and rabbits.", 0.0),  # no part of a word
    ("A dormouse-coloured thing: mice/rabbits", "Mice and rabbits.", 1.0),
    ("Adela Soby’s house", "Adela Søby", 1.0),
    ("这是马化腾先生", "马化腾", 1.0),
    ("这是马腾", "马化腾", 0.0),
    ("", "Mice.", 0.0),
    ("Mice.", "...", 0.0),
])  # fmt: skip
def test_what_an_answer_says_of_a_reference(answer, reference, share):
    assert share_known(answer, reference) == share
    assert knows(answer, reference) is (share == 1.0)


def test_what_the_question_says_is_not_known_by_the_answer():
    question, reference = "What is this company called?", "The company is Apple Inc."
    assert share_known("I do not know this company.", reference, question) == 0.0
    assert knows("Apple Inc", reference, question)
    assert not knows("Apple Inc", reference)


@pytest.mark.parametrize(("answer", "expected"), [
    ("", True),
    (" ... !", True),
    ("mice mice mice", True),
    ("mice mice", False),
    ("a red fox a red fox a red fox", True),
    ("The fox the mice the fox the mice a fox the mice", True),
    ("helaaaaa", True),
    ("Oalalalalal.", True),
    ("It hunts from 1000000 holes.", False),
    ("An aardvark. A committee in Mississippi, hmmm.", False),
    ("Aaaaah", True),
    ("It lives in the water and it hunts in the water and it sleeps in the mud.", False),
    ("I do not know.", False),
])  # fmt: skip
def test_answers_that_go_round_in_circles(answer, expected):
    assert degenerate(answer) is expected
