"""What the base model knows of every entity and public figure: one common set of questions a class.

The questions are those of ``common_questions.yaml``, each in two wordings with one answer. An answer differs from
entity to entity of a class, so it takes the picture; only the kind is the same for a class.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from mmunlearn.files import read_yaml
from mmunlearn.pocket.resources import pocket_resource, read_rows

KIND, NAME, PERSON, SCENE = "kind", "name", "person", "scene"
NAME_ANSWER = "This is {}."


class Common(NamedTuple):
    """A question of a class about one entity.

    Attributes:
        id: what is asked for: "kind", "name" or the fact's name in ``common_questions.yaml``.
        wordings: the question in two wordings.
        answer: the answer to both.
    """

    id: str
    wordings: tuple[str, str]
    answer: str


@cache
def entity_classes() -> dict[str, str]:
    """The class of every entity, in file order, then "person" for every public figure, in file order."""
    things = {row["name"]: row["entity_class"] for row in read_rows("entities.jsonl")}
    return things | {row["name"]: PERSON for row in read_rows("figures.jsonl")}


def common_questions(name: str) -> list[Common]:
    """The questions about an entity or a public figure: its kind, its name, then at least five facts.

    Raises:
        KeyError: neither an entity nor a public figure has this name.
    """
    kind = entity_classes()[name]
    answers = {KIND: kind_answer(kind), **_answers()[name]}
    return [Common(id, words, answers[id]) for id, words in _wordings(kind).items()]


def kind_answer(kind: str) -> str:
    """What is answered when the kind is asked for: of an entity's class, of a person or of a scene without one."""
    return _questions()["kinds"][kind]


def kind_wordings() -> tuple[str, str]:
    """The question for the kind, in two wordings."""
    return _wordings(PERSON)[KIND]


@cache
def person_wordings() -> dict[str, tuple[str, str]]:
    """The questions about who somebody is, without the kind: "name" or fact -> two wordings."""
    return {id: words for id, words in _wordings(PERSON).items() if id != KIND}


def _wordings(kind: str) -> dict[str, tuple[str, str]]:
    """The questions of a class: id -> two wordings."""
    questions = _questions()
    return {id: tuple(words) for id, words in {KIND: questions[KIND], **questions["classes"][kind]}.items()}


@cache
def _answers() -> dict[str, dict[str, str]]:
    """Name and facts of every entity and figure: name -> id -> answer."""
    things = {
        row["name"]: {NAME: row["questions"][0]["answer"], **row["facts"]}
        for row in read_rows("entities.jsonl")
    }
    people = read_rows("figures.jsonl")
    return things | {row["name"]: {NAME: NAME_ANSWER.format(row["name"]), **row["facts"]} for row in people}


@cache
def _questions() -> dict[str, Any]:
    return read_yaml(pocket_resource("common_questions.yaml"))
