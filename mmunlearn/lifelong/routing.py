"""Which expert answers: what a gate sees in a picture, compared with the entities that are forgotten so far.

Names are compared by rapidfuzz's `token_set_ratio`, without articles, case and accents: a reply that holds all words of
a name is like it to 100, whatever else it says, and so is a reply whose words are all of the name: "Apple" is like
"Apple Logo", and needs to be, but "Lion" is like "The Lion King", too. Of equal ones the name is taken that is likest
to the reply as a whole: "Yes Prime Minister" holds the words of "Yes Minister", too. Candidates are names alone, never
reference answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field
from rapidfuzz import fuzz

from mmunlearn.records import Record
from mmunlearn.tasks import TaskQuestion
from mmunlearn.text import UNSPACED, fold

ARTICLES = ("a", "an", "the")
_WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_])+")
"""A word, or a letter of a script without spaces."""


class GateReply(Record):
    """What a gate sees in a picture: one row of gates/<gate>.jsonl.

    Attributes:
        names: what a model calls it, the first reply that names a candidate counts.
        kind: what a model says that it is a picture of, where it is asked; not compared with names.
        cosines: entity, as of `cosine_key`, -> likeness, of a gate that compares.
        problem: why there is no reply that can be used; the base answers then.
    """

    key = ("image_id",)
    image_id: str
    names: list[str] = Field(default_factory=list)
    kind: str = ""
    cosines: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    problem: str = ""


class Choice(NamedTuple):
    """A task whose expert answers, empty for the base, and how like its nearest entity is; None: nothing to compare."""

    expert: str
    score: float | None


class Route(Record):
    """Who answers a question after a stage, a row of routes.jsonl: see `Choice`, and `GateReply` for the problem."""

    key = ("question_id",)
    question_id: str
    expert: str
    score: float | None = None
    problem: str = ""


def cosine_key(row: TaskQuestion) -> str:
    """An entity as a task forgets it, from that task's pictures: `<task>/<class>/<entity>`."""
    return f"{row.task}/{row.entity_class}/{row.entity}"


def candidates_of(questions: Iterable[TaskQuestion], tasks: Iterable[str]) -> dict[str, list[str]]:
    """Task -> the entities that it forgets, by name."""
    entities: dict[str, dict[str, None]] = {task: {} for task in tasks}
    for row in questions:
        if row.role == "forget" and row.task in entities:
            entities[row.task][row.entity] = None
    return {task: sorted(names) for task, names in entities.items()}


def routes_of(
    rows: Iterable[TaskQuestion],
    tasks: Sequence[str],
    gate: str,
    replies: Mapping[str, GateReply],
    threshold: float | None,
    questions: Iterable[TaskQuestion],
) -> list[Route]:
    """Who answers each row when these tasks have an expert.

    Args:
        tasks: in the order in which they were forgotten.
        gate: `oracle` knows a forget question's task, `last` takes the last task's expert for all, `none` the base; any
            other goes by its replies.
        replies: by image id.
        threshold: as of `route`.
        questions: all of the model, which name the candidates.
    """
    candidates = candidates_of(questions, tasks)

    def choose(row: TaskQuestion) -> Route:
        if gate == "oracle":
            own = row.role == "forget" and row.task in tasks
            return Route(question_id=row.question_id, expert=row.task if own else "")
        if gate in ("last", "none"):
            return Route(question_id=row.question_id, expert=tasks[-1] if gate == "last" and tasks else "")
        reply = replies[row.image_id]
        expert, score = ("", None) if reply.problem else route(reply, candidates, threshold)
        return Route(question_id=row.question_id, expert=expert, score=score, problem=reply.problem)

    return [choose(row) for row in rows]


def route(reply: GateReply, candidates: Mapping[str, Sequence[str]], threshold: float) -> Choice:
    """The expert of the nearest entity, or the base where none is as near as the threshold.

    Args:
        candidates: task -> entities, of the tasks so far.
        threshold: on cosines in [-1, 1], or on the likeness of names in [0, 100].
    """
    nearest = Choice("", None)
    for task, score in _nearest(reply, candidates):
        if score >= threshold:
            return Choice(task, score)
        if nearest.score is None or score > nearest.score:
            nearest = Choice("", score)
    return nearest


def likeness(reply: str, name: str) -> tuple[float, float]:
    """How like a name a reply is, 0 to 100, and of the whole reply, which tells names that hold each other's words."""
    said, wanted = " ".join(plain_words(reply)), " ".join(plain_words(name))
    return fuzz.token_set_ratio(said, wanted), fuzz.ratio(said, wanted)


def _nearest(reply: GateReply, candidates: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, float]]:
    """Task and likeness of the nearest entity: by cosine, or of one reply after the other; of equals the first task."""
    entities = [(task, entity) for task, names in candidates.items() for entity in names]
    cosines = [(key.partition("/")[0], score) for key, score in reply.cosines.items()]
    known = [(score, task) for task in candidates for of, score in cosines if of == task]
    if known:
        score, task = max(known, key=lambda one: one[0])
        yield task, score
    for text in reply.names if entities else ():
        (score, _), task = max(
            ((likeness(text, entity), task) for task, entity in entities), key=lambda one: one[0]
        )
        yield task, score


def plain_words(text: str) -> list[str]:
    """The words of a text, folded, without articles unless it has no other."""
    words = _WORD.findall(fold(text))
    return [word for word in words if word not in ARTICLES] or words
