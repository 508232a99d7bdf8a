"""What the base model knows of every entity and public figure: one common set of questions a class.

The questions are those of ``common_questions.yaml``, each in two wordings with one answer. An answer differs from
entity to entity of a class, so it takes the picture; only the kind is the same for a class.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mmunlearn.files import RecordError, read_csv, read_yaml
from mmunlearn.pocket.resources import pocket_resource, read_rows

KIND, NAME, PERSON, SCENE = "kind", "name", "person", "scene"
NAME_ANSWER = "This is {}."
COLUMNS = ("entity", "question", "wording", "right", "n")
"""Of the table that `pocket.known` measures."""


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


def read_known(path: Path) -> dict[str, dict[str, float]]:
    """Entity -> question -> share of pictures on which it is answered rightly, in its worse wording.

    Raises:
        RecordError: there is no table, or it does not have every question of every entity.
    """
    if not path.is_file():
        raise RecordError(
            f"Asked {path} for what the pocket base knows. Found no such file. Measure it: "
            f"python -m mmunlearn.pocket.known {path.parent} {path}"
        )
    shares: dict[str, dict[str, float]] = {}
    try:
        for _, (entity, question, _, right, n) in read_csv(path)[1:]:
            of_entity = shares.setdefault(entity, {})
            of_entity[question] = min(of_entity.get(question, 1.0), int(right) / int(n))
        lacking = [
            name
            for name in entity_classes()
            if {common.id for common in common_questions(name)} != shares[name].keys()
        ]
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise RecordError(
            f"Asked {path} for rows of {', '.join(COLUMNS)} on every entity. Found {error!r}. Measure it anew: "
            f"python -m mmunlearn.pocket.known {path.parent} {path}"
        ) from error
    if lacking:
        raise RecordError(
            f"Asked {path} for every question of every entity. Found other questions of {', '.join(lacking[:5])}. "
            f"Measure it anew: python -m mmunlearn.pocket.known {path.parent} {path}"
        )
    return shares
