"""Gate `vlm`, the paper's: a vision-language model says what kind of thing a picture shows, and which one.

`class` first: the class question, then the entity question of that class. `name` first, for models that tell people
from things better by their name: all entity questions of a picture, in their order; the first that names a candidate
counts, and the class is not asked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rapidfuzz import fuzz

from mmunlearn.lifelong.gates.askers import ASKERS, Said, Turn
from mmunlearn.lifelong.gates.gate import Gate
from mmunlearn.lifelong.routing import GateReply, likeness, plain_words
from mmunlearn.tasks import TaskQuestion

logger = logging.getLogger(__name__)
OTHER = "other"
"""The class of all that have no question of their own."""
CLASS_LIKENESS = 75
"""From which a reply names a class: "person" is like "Personage" to 80."""


class VlmGate(Gate):
    """Asks the base itself (`asks: base`), or any OpenAI-compatible vision model (`openai`)."""

    def replies(self, pictures: Sequence[TaskQuestion]) -> list[GateReply]:
        """See Gate.replies."""
        ask = ASKERS[self.settings["asks"]](self.settings, self.sources)
        questions = self.settings["name_questions"]
        there = sorted({row.entity_class for row in self.sources.rows})
        if lacking := questions.keys() - {OTHER, *there}:
            logger.warning(
                "lifelong.gates.vlm.name_questions: no entity is of class %s; there are %s",
                ", ".join(sorted(lacking)),
                ", ".join(there),
            )
        if self.settings["first"] == "name":
            every = [
                ask([Turn(one, question) for one in pictures], f"names {number}")
                for number, question in enumerate(dict.fromkeys(questions.values()), start=1)
            ]
            return [_reply(one, said) for one, *said in zip(pictures, *every, strict=True)]
        question, classes = self.settings["class_question"], tuple(questions)
        kinds = ask([Turn(one, question, classes) for one in pictures], "classes")
        turns = {
            number: Turn(one, questions[class_of(kind.text, classes)], (), (question, kind.text))
            for number, (one, kind) in enumerate(zip(pictures, kinds, strict=True))
            if not kind.problem
        }
        named = dict(zip(turns, ask(list(turns.values()), "names"), strict=True))
        return [
            _reply(one, [named.get(number, kind)], kind.text)
            for number, (one, kind) in enumerate(zip(pictures, kinds, strict=True))
        ]


def class_of(reply: str, classes: Sequence[str]) -> str:
    """The class that a reply names, by any of its words or as a whole; `other` where it names none."""

    def like(name: str) -> float:
        name = name.replace("_", " ")
        words = (fuzz.ratio(word, " ".join(plain_words(name))) for word in plain_words(reply))
        return max(likeness(reply, name)[0], *words, 0.0)

    named = [name for name in classes if name != OTHER]
    best = max(named, key=like, default=OTHER)
    return best if best != OTHER and like(best) >= CLASS_LIKENESS else OTHER


def _reply(picture: TaskQuestion, said: Sequence[Said], kind: str = "") -> GateReply:
    problems = dict.fromkeys(one.problem for one in said if one.problem)
    names = [] if problems else [one.text for one in said]
    return GateReply(image_id=picture.image_id, names=names, kind=kind, problem="; ".join(problems))
