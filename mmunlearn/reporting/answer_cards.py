"""Side-by-side answers beside Figure 9's heat map: what models say of a concept that was unlearned alone."""

from __future__ import annotations

from pathlib import Path

from mmunlearn.ids import FINETUNED, GOAL
from mmunlearn.records import Answer, Question
from mmunlearn.reporting.canvas import LINE, Canvas, text_width, wrap
from mmunlearn.reporting.concept_matrix import Concept, Questions, Study, Verdicts, what_is_left
from mmunlearn.reporting.page_pictures import Pictures
from mmunlearn.reporting.style import look

PICTURE = 76  # side, points
PAD = 5
STRIPE = 5
MOST = 7  # lines of an answer
NO_SCORE = "\N{EN DASH}"
GREY = "#555555"


def answer_card(
    study: Study, concept: Concept, questions: Questions, images: Pictures, method: str, width: float
) -> Canvas:
    """A picture with its question and true answer, and below them a box a model: finetuned, unlearned, goal.

    The picture is chosen by rule, not by outcome: the concept's first one, held out pictures first, of which
    the finetuned and the unlearned model were asked. The goal model is there where its answers are given.
    """
    card = Canvas()
    card.text(0, 0, f"{concept.code} {concept.title} unlearned", size=8.5, weight="bold")
    keys = {"Finetune": FINETUNED, method: concept.id, "Goal": f"{GOAL}-{concept.kind}"}
    answers = {name: study.answers[key] for name, key in keys.items() if key in study.answers}
    both = [study.answers.get(key, {}) for key in (FINETUNED, concept.id)]
    common = (one for one in concept.questions if one in questions and all(one in rows for rows in both))
    question = questions.get(next(common, ""))
    if question is None:
        card.text(0, LINE + 4, "no picture of which both models were asked", color=GREY)
        return card
    below = _question(card, question, images.path(question.image_id), LINE + 5, width)
    for name, rows in answers.items():
        answer = rows.get(question.question_id)
        tag = "" if answer is None else _tag(concept, answer, study.verdicts.get(keys[name], {}))
        below = card.add(_box(name, answer, tag, width), 0, below + 4)
    return card


def _question(card: Canvas, question: Question, picture: Path, top: float, width: float) -> float:
    """The picture, at its right question and truth; where they end."""
    card.picture(0, top, PICTURE, picture)
    x, room = PICTURE + 8, width - PICTURE - 8
    y = top
    for head, text in (("Question", question.question), ("Truth", question.answer)):
        card.text(x, y, head, weight="bold", color=GREY)
        y = card.lines(x, y + LINE, wrap(text, room, most=MOST)) + 4
    return max(y - 4, top + PICTURE)


def _box(name: str, answer: Answer | None, tag: str, width: float) -> Canvas:
    """A model's name, its answer's scores, and the answer, beside a stripe of its colour."""
    box = Canvas()
    inside = STRIPE + PAD
    text = "no answer" if answer is None else answer.answer.strip() or "(empty)"
    lines = wrap(text, width - inside - PAD, most=MOST)
    height = PAD + LINE * (1 + len(lines)) + PAD - 2
    box.box(0, 0, width, height, fc="#F6F6F6", ec="#BBBBBB", lw=0.6)
    box.box(0, 0, STRIPE, height, fc=look(name).colour, ec="black", lw=0.6)
    box.text(inside, PAD - 1, name, weight="bold")
    if tag:
        box.text(width - PAD - text_width(tag), PAD - 1, tag, color=GREY)
    box.lines(inside, PAD - 1 + LINE, lines, color="black" if answer is not None else GREY)
    return box


def _tag(concept: Concept, answer: Answer, verdicts: Verdicts) -> str:
    """Whether the name is said; of an event G-Eval, a dash where there is no verdict, and ROUGE-L, as in the paper."""
    left = what_is_left(concept, answer)
    if concept.kind == "person":
        return "name said" if left else "name not said"
    score = verdicts.get(answer.question_id)
    return f"G-Eval {NO_SCORE if score is None else f'{100 * score:.1f}'}  ROUGE-L {100 * left:.1f}"
