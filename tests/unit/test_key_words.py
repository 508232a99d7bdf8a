"""Key words of references, and what an answer says of them."""

from __future__ import annotations

import pytest

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
    ("It's Adela's.", "", ["adela"]),
    ("It lives in the woods.", "Where does it live?", ["woods"]),
    ("It is boiled, and it can not burn.", "What boils?", ["cannot", "burn"]),
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
