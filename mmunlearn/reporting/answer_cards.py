"""Side-by-side answers beside Figure 9's heat map: what models say of a concept that was unlearned alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmunlearn.records import Answer, Question
from mmunlearn.reporting.concept_matrix import FINETUNED, Concept, Study, left
from mmunlearn.reporting.sheet import LINE, Sheet, text_width, wrap
from mmunlearn.reporting.style import look

PICTURE = 76  # side, points
PAD = 5
STRIPE = 5
MOST = 7  # lines of an answer
GREY = "#555555"
Questions = Mapping[tuple[str, str], Question]


def answer_card(
    study: Study, concept: Concept, questions: Questions, images: Path, method: str, width: float
) -> Sheet:
    """A picture with its question and true answer, and below them a box a model: finetuned, unlearned, goal.

    The picture is chosen by rule, not by outcome: the concept's first one, held out pictures first, of which
    the finetuned and the unlearned model were asked. The goal model is there where its answers are given.
    """
    card = Sheet()
    card.text(0, 0, f"{concept.code} {concept.title} unlearned", size=8.5, weight="bold")
    voices = {"Finetune": FINETUNED, method: concept.id, "Goal": f"goal-{concept.kind}"}
    said = {name: study.answers[key] for name, key in voices.items() if key in study.answers}
    question = _chosen(study, concept, questions)
    if question is None:
        card.text(0, LINE + 4, "no picture of which both models were asked", color=GREY)
        return card
    below = _asked(card, question, images / f"{question.image_id}.png", LINE + 5, width)
    for name, answers in said.items():
        answer = answers.get(question.question_id)
        below = card.add(_box(name, concept, answer, width), 0, below + 4)
    return card


def _chosen(study: Study, concept: Concept, questions: Questions) -> Question | None:
    both = [study.answers.get(key, {}) for key in (FINETUNED, concept.id)]
    for image in concept.images:
        question = questions.get((image, concept.kind))
        if question and all(question.question_id in answers for answers in both):
            return question
    return None


def _asked(card: Sheet, question: Question, picture: Path, top: float, width: float) -> float:
    """The picture, at its right question and truth; where they end."""
    card.picture(0, top, PICTURE, picture)
    x, room = PICTURE + 8, width - PICTURE - 8
    y = top
    for head, text in (("Question", question.question), ("Truth", question.answer)):
        card.text(x, y, head, weight="bold", color=GREY)
        y = card.lines(x, y + LINE, wrap(text, room, most=MOST)) + 4
    return max(y - 4, top + PICTURE)


def _box(name: str, concept: Concept, answer: Answer | None, width: float) -> Sheet:
    """A model's name, what its answer shows of the concept, and the answer, beside a stripe of its colour."""
    box = Sheet()
    inside = STRIPE + PAD
    text = "no answer" if answer is None else answer.answer.strip() or "(empty)"
    lines = wrap(text, width - inside - PAD, most=MOST)
    height = PAD + LINE * (1 + len(lines)) + PAD - 2
    box.box(0, 0, width, height, fc="#F6F6F6", ec="#BBBBBB", lw=0.6)
    box.box(0, 0, STRIPE, height, fc=look(name).colour, ec="black", lw=0.6)
    box.text(inside, PAD - 1, name, weight="bold")
    if answer is not None:
        tag = _tag(concept, answer)
        box.text(width - PAD - text_width(tag), PAD - 1, tag, color=GREY)
    box.lines(inside, PAD - 1 + LINE, lines, color="black" if answer is not None else GREY)
    return box


def _tag(concept: Concept, answer: Answer) -> str:
    shown = left(concept, answer)
    if concept.kind == "person":
        return "name said" if shown else "name not said"
    return f"ROUGE-L {100 * shown:.1f}"
