"""The common questions of every class: complete, short, different from entity to entity, and without contradiction."""

from collections import Counter, defaultdict

import pytest

from mmunlearn.pocket.entities import entity_questions
from mmunlearn.pocket.knowledge import Common, common_questions, entity_classes

THINGS = ("animal", "plant", "building", "vehicle")
KIND = ("What kind of thing is it?", "Which sort of thing does the picture show?")


def test_every_class_has_at_least_six_questions_in_two_wordings():
    classes = entity_classes()
    assert Counter(classes.values()) == {"person": 40} | dict.fromkeys(THINGS, 10)
    assert list(classes)[:2] == ["fox", "owl"]
    assert list(classes)[-2:] == ["Ludmila Svoboda", "Bastien Courvoisier"]
    asked = defaultdict(set)
    for name, kind in classes.items():
        asked[kind].add(tuple((one.id, one.wordings) for one in common_questions(name)))
    assert all(len(questions) == 1 for questions in asked.values()), "the same for a whole class"
    for (questions,) in asked.values():
        wordings = [words for _, pair in questions for words in pair]
        assert len(wordings) == len(set(wordings)) >= 2 * 7
        assert [id for id, _ in questions][:2] == ["kind", "name"]
    with pytest.raises(KeyError):
        common_questions("unicorn")


def test_the_questions_about_a_thing_and_about_a_person():
    fox, person = common_questions("fox"), common_questions("Adela Moravec")
    assert fox[0] == Common("kind", KIND, "An animal.")
    assert fox[1].answer == "A red fox."
    assert fox[2] == Common("home", ("Where does it live?", "Where is its home?"), "In a den in the woods.")
    assert person[0] == Common("kind", KIND, "A person.")
    assert person[1].wordings[0] == "Who is the person in the picture?"
    assert [one.answer for one in person[1:4]] == [
        "This is Adela Moravec.",
        "A glass blower.",
        "In Brno, Moravia.",
    ]


def test_an_answer_is_short_and_names_few_of_its_class():
    answers = defaultdict(list)
    for name, kind in entity_classes().items():
        for one in common_questions(name)[1:]:
            answers[kind, one.id].append(one.answer)
            assert len(one.answer.split()) <= 6 and one.answer.endswith(".")
    for said in answers.values():
        assert Counter(said).most_common(1)[0][1] <= len(said) / 3


def test_an_own_question_in_the_words_of_a_common_one_has_its_answer():
    for name, turns in entity_questions().items():
        common = {words: one.answer for one in common_questions(name) for words in one.wordings}
        assert {question: common[question] for question, _ in turns if question in common}.items() <= set(
            turns
        )
        assert sum(question in common for question, _ in turns) >= 2
