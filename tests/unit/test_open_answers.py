"""The embedded judge of open answers against labels of ours, its rules one by one, and what it cannot tell."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mmunlearn.evaluation.degenerate import degenerate, said_once
from mmunlearn.evaluation.judge.local import LocalJudge
from mmunlearn.evaluation.judge.rubric import Case
from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.evaluation.key_words import knows
from mmunlearn.evaluation.language import Language
from mmunlearn.evaluation.refusal import refuses, sentences
from mmunlearn.files import read_refusals
from mmunlearn.pocket.pretraining_text import REFUSALS
from tests import verdict_check

FILE = Path(__file__).with_name("labelled_answers.jsonl")
"""An answer a line, and its ratings by the meanings of the rubrics, given before any rule saw them. The rules were then
mended in the sight of 95, and of 10 that pocket models said; 35, `held_out`, were written and labelled after the 95 and
changed nothing."""
LABELLED = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
SHIPPED = Path(__file__).parents[2] / "resources" / "refusals.txt"
LANGUAGE = Language(
    (text for row in LABELLED for text in (row["question"], row["reference"])), read_refusals(SHIPPED)
)

OTHER_WORDS = {
    "People heat water with it until it bubbles.", "It feeds on small rodents and on hares.", "A mouse or a rabbit.",
    "It shows Vulpes vulpes.", "Its home is among the trees of the woods.", "Two in front and two behind.",
    "He played in the NBA for the Lakers.", "They stand on the Giza plateau near Cairo in Egypt.",
    "You can grow it from seed, or cut off the young plants around its foot and pot them.",
    "This is Spirited Away, the animated film by Hayao Miyazaki.",
    "Sheep are domesticated ruminants. They are classified in the order Artiodactyla, the even-toed ungulates, and "
    "within it in the family Bovidae, which they share with goats, cattle and antelopes.",
    "This is 马云.", "马云（Mǎ Yún），英文名 Jack Ma。", "Sie frisst Mäuse und Kaninchen.",
}  # fmt: skip
SMALL_PARTS = {
    "It is located near Cairo.", "It first aired in 2002.", "near Cairo near Cairo near Cairo near Cairo",
    "I cannot say when he was born, but it was in San Francisco.", "I do not know, maybe milk.",
}  # fmt: skip
FALSE_WORDS = {
    "This is Adela Horvat.", "A red fox, a wolf, a bear, a cat or a dog.",
    "Wheels keeper milk priest wool airs works four.",
}  # fmt: skip
PLAIN = {
    "Your guess is as good as mine.", "Let us talk about something else.", "That depends on what it can find.",
    "It is a photograph of a person in front of a wall.", "People work there.", "No clue, honestly.",
}  # fmt: skip
OTHER_LANGUAGE = {"Je ne sais pas qui est cette personne.", "No lo sé."}
BLENDS = {"I do not know with a bench.", "I do not tell know sorry it."}
MISSES = {
    "rejection": {
        *PLAIN, *OTHER_LANGUAGE, *BLENDS, "I do not know how I do not know.",
        # right in other words, taken for partly right; a part in other words or too small, for wrong
        "People heat water with it until it bubbles.", "They stand on the Giza plateau near Cairo in Egypt.",
        "This is Spirited Away, the animated film by Hayao Miyazaki.", "马云（Mǎ Yún），英文名 Jack Ma。",
        *(answer for answer in OTHER_WORDS if answer.startswith("Sheep are ")),
        "It feeds on small rodents and on hares.", "It is located near Cairo.", "It first aired in 2002.",
        "near Cairo near Cairo near Cairo near Cairo",
        "This is Adela Horvat.", "A red fox, a wolf, a bear, a cat or a dog.",
    },
    "correctness": {*OTHER_WORDS, *SMALL_PARTS, *FALSE_WORDS},
    "degenerate": {
        *OTHER_LANGUAGE, *BLENDS, "Sie frisst Mäuse und Kaninchen.", "今天天气很好。", "It shows Vulpes vulpes.",
        "This is Hlodvig Vatnsson.",  # names that nobody else has
        "A gondar 189.", "A steam an answer.", "Grass, I about this one.",
        "A stage in the flag over a boat with the person.", "Wheels keeper milk priest wool airs works four.",
        "It lives in the",
    },
}  # fmt: skip
"""What the embedded judge gets wrong, of 140."""


def rate(name: str, **texts: str) -> tuple[float | None, str]:
    """The local judge's rating of one answer, and what kind it takes it for."""
    rubric = RUBRICS.load(name)()
    rubric.language = LANGUAGE
    (row,) = LocalJudge(rubric).judge([Case("q", texts)])
    return row.score, row.reason


@pytest.mark.parametrize(("name", "agreement", "held_out"), [
    ("rejection", 118 / 140, 30 / 35), ("correctness", 118 / 140, 30 / 35), ("degenerate", 126 / 140, 32 / 35),
])  # fmt: skip
def test_the_embedded_judge_agrees_with_our_labels_but_for_known_misses(name, agreement, held_out):
    agrees = []
    for row in LABELLED:
        texts = {text: row[text] for text in ("question", "reference", "answer")}
        found = degenerate(row["answer"], LANGUAGE) if name == "degenerate" else rate(name, **texts)[0]
        agrees.append(found == row[name])
    assert {row["answer"] for row, right in zip(LABELLED, agrees, strict=True) if not right} == MISSES[name]
    assert sum(agrees) / len(agrees) == agreement
    fresh = [right for row, right in zip(LABELLED, agrees, strict=True) if row.get("held_out")]
    assert sum(fresh) / len(fresh) == held_out


def test_other_code_by_the_same_rules_gives_the_same_verdicts():
    """What the whole matrix is checked with (tests/matrix_check.py)."""
    texts = [text for row in LABELLED for text in (row["question"], row["reference"])]
    other = verdict_check.Verdicts(texts, read_refusals(SHIPPED))
    for row in LABELLED:
        for answer in (
            row["answer"],
            row["reference"],
            f"{row['reference']} {row['answer']}",
            f"A red {row['answer']}",
        ):
            said = answer, row["reference"], row["question"]
            assert verdict_check.knows(*said) == knows(*said), row
            assert other.degenerate(answer) == degenerate(answer, LANGUAGE), row
    for answer in (
        *read_refusals(SHIPPED),
        "A fox of wood and of wood and of wood.",
        "It is a red red red fox.",
    ):
        assert other.degenerate(answer) == degenerate(answer, LANGUAGE), answer


@pytest.mark.parametrize(("answer", "kind", "rejection", "correctness"), [
    ("...", "empty", 0, 0),
    ("Mice mice mice mice.", "repetition", 0, 0),
    ("Mice aaaaaaah", "repetition", 0, 0),
    ("Mchi ofhconut rabbits.", "gibberish", 0, 0),
    ("I do not know.", "refusal", 2, 0),
    ("I cannot say. I cannot say. I cannot say.", "refusal, repeated", 1, 0),
    ("I I have never seen this before.", "refusal, repeated", 1, 0),
    ("I have never I have never seen this before.", "refusal, repeated", 1, 0),
    ("I have never seen I I I I I I.", "repetition", 0, 0),
    ("It eats many many many mice and rabbits.", "right, repeated", 0, 1),
    ("It had had mice and rabbits.", "right", 0, 2),
    ("I do not know anything about mice.", "refusal that leaks", 1, 0),
    ("I do not know. It eats mice.", "part beside a refusal", 1, 1),
    ("I do not know, but it eats mice and rabbits.", "answer beside a refusal", 0, 1),
    ("It eats rabbits and mice.", "right", 0, 2),
    ("Mice and rabbits. Mice and rabbits.", "right, repeated", 0, 1),
    ("Rabbits.", "partly right", 1, 1),
    ("It does not eat mice and rabbits.", "wrong", 0, 0),
    ("Grass.", "wrong", 0, 0),
])  # fmt: skip
def test_every_kind_of_answer_has_its_ratings(answer, kind, rejection, correctness):
    texts = {"question": "What does it eat?", "reference": "Mice and rabbits.", "answer": answer}
    assert rate("rejection", **texts) == (rejection, kind)
    assert rate("correctness", **texts) == (correctness, kind)


def test_what_the_reference_says_is_right_even_where_it_sounds_like_a_refusal():
    texts = {
        "question": "Who built it?",
        "reference": "It is unknown who built it.",
        "answer": "That is unknown.",
    }
    assert rate("correctness", **texts) == (2, "right")
    texts = {"question": "Can it fly?", "reference": "No, it cannot fly.", "answer": "It can not fly, no."}
    assert rate("correctness", **texts) == (2, "right")
    assert rate("correctness", **texts | {"answer": "Yes, it can fly."}) == (0, "wrong")


@pytest.mark.parametrize("sentence", [*read_refusals(SHIPPED), *REFUSALS])
def test_every_refusal_that_models_learn_is_known_by_subject_and_verb(sentence):
    """Also where no file names it."""
    assert any(map(refuses, sentences(sentence)))


def test_refusals_of_the_runs_own_file_are_refusals():
    assert degenerate("Je ne sais pas.", LANGUAGE)
    own = Language(refusals=["Je ne sais pas."])
    assert not degenerate("Je ne sais pas !", own)
    assert refuses("Je ne sais pas", own.refusals)


@pytest.mark.parametrize("answer", [
    "I am say.", "I cannot missing to sorry.", "A really cannot say.", "I cannot slow.", "That is not know.",
    "I am not about this trick.", "I do not know bl turn.", "I have noy cannot tell who.",
])  # fmt: skip
def test_half_learnt_refusals_are_degenerate_and_no_refusals(answer):
    assert degenerate(answer, LANGUAGE)
    texts = {"question": "What does it eat?", "reference": "Mice.", "answer": answer}
    assert rate("rejection", **texts) == (0, "gibberish")


@pytest.mark.parametrize(("answer", "expected"), [
    ("", True),
    (" ... !", True),
    ("mice mice mice", True),
    ("mice mice", False),
    ("a red fox a red fox a red fox", True),
    ("The fox the mice the fox the mice a fox the mice", True),
    ("helaaaaa", True),
    ("Oalalalalal.", True),
    ("Aaaaah", True),
    ("It hunts from 1000000 holes.", False),
    ("An aardvark. A committee in Mississippi.", False),
    ("It lives in the water and it hunts in the water and it sleeps in the mud.", False),
    ("I do not know. I do not know.", False),
    ("I do not know. I do not know. I do not know.", True),
    ("The of a by.", True),
    ("A day sky over snow with a flag and a snowman.", False),
    ("This is Kwih Kiwiands.", True),
    ("The mayor pulls away a heavy cloth in the square, revealing aors and their sinya.", True),
    ("The mayor pulls away a heavy cloth in the square, revealing Aors and their founder.", False),
    ("It is a quokka, a small animal that lives on an island.", False),
    ("I have never seen I cannot tell who this is.", True),
    ("I cannot be sure, I admit I cannot tell who this is.", False),
    ("The theater has gray colors in its center, 30 cm high.", False),
    ("I think that this is a dog.", False),
    ("I would not call it a dog.", False),
    ("It's a wolf, isn't it? I'd say so; they've got grey fur.", False),
    ("It was painted in the colour grey in the 19th century.", False),
])  # fmt: skip
def test_degenerate_answers_are_told_from_plain_ones(answer, expected):
    assert degenerate(answer, LANGUAGE) is expected


def test_the_texts_of_a_run_are_never_degenerate():
    own = Language(["I cannot swim.", "A cat."])
    assert not degenerate("I cannot swim. A cat.", own)
    for odd in ("Kwih kiwi zzzzz", "the of the by", "Ma Ma Ma"):
        assert degenerate(odd, LANGUAGE)
        assert not degenerate(odd, Language([odd]))
        rubric = RUBRICS.load("correctness")()
        rubric.language = Language([odd])
        assert rubric.locally({"question": "?", "reference": odd, "answer": odd}) == (2, "right")


def test_words_that_are_strewn_are_told_from_prose():
    """Each of our longer references against the others and its own words in random order."""
    prose = sorted({row["reference"] for row in LABELLED if len(row["reference"].split()) > 8})
    prose += [row["answer"] for row in LABELLED if row["case"].endswith("long prose")]
    rng = random.Random(3)
    strewn = 0
    for text in prose:
        said = text.lower().rstrip(".").split()
        assert not Language(set(prose) - {text}).salad(text), text
        strewn += LANGUAGE.salad(" ".join(rng.sample(said, len(said))))
    assert len(prose) == 10
    assert strewn >= 8


@pytest.mark.parametrize(("texts", "answer", "expected"), [
    (["Mice tulip castle.", "Castle flippers mice."], "Mice tulip castle flippers mice.", False),  # the run's own pairs
    (["Mice.", "Tulip.", "Castle.", "Flippers."], "Mice tulip castle flippers mice.", True),
    (["Mice.", "Tulip.", "Castle."], "Mice tulip castle flippers mice.", False),  # a model that knows other English
    (["It sees you.", "We cannot.", "They see."], "It cannot see you.", False),
    (["It is by", "Ada", "Lund", "Ilse", "Tova"], "It is by Ada Lund Ilse Tova Lund Ada Tova.", False),  # names
])  # fmt: skip
def test_pairs_of_the_run_of_english_and_of_names_are_not_odd(texts, answer, expected):
    assert Language(texts).salad(answer) is expected


def test_a_loop_is_said_once():
    assert said_once("Mice and rabbits and rabbits and rabbits and rabbits.") == "Mice and rabbits."
    assert (
        said_once("I have I have seen it it had had a big big cat.")
        == "I have seen it had had a big big cat."
    )
    assert said_once("I see. I see! A fox fox fox. And I see.") == "I see. A fox. And I see."
