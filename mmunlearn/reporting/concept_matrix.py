"""What is left of each concept after each one is unlearned alone: the numbers of Figure 9 of PEBench.

Columns of `tables/figure9.csv`: `model, unlearned, tested` (ids of persons and events; `finetuned` where nothing is
unlearned), `kind` of the tested concept, `region` of the heat map as in the paper (A efficacy, B retain, C scope; 1
a person is unlearned, 2 an event; empty for finetuned), `value` (0 to 100, what is left), `n` answers behind it, and
`reason` where there is no value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.evaluation.score_inputs import read_answered
from mmunlearn.ids import FINETUNED, GOAL, TARGETS, Run, concepts_of, parse_recipe, question_id
from mmunlearn.names import says_name
from mmunlearn.records import (
    Answer,
    Event,
    Judgement,
    Person,
    Question,
    RecordError,
    Split,
    read_json,
    read_jsonl,
)
from mmunlearn.reporting.layout import full, write_table

COLUMNS = ("model", "unlearned", "tested", "kind", "region", "value", "n", "reason")
Answers = Mapping[str, Answer]  # by question id
Questions = Mapping[str, Question]  # likewise
Verdicts = Mapping[str, float | None]  # G-Eval in [0, 1], likewise


@dataclass(frozen=True)
class Concept:
    """A forgotten person or event; `code` is its short name, e.g. P1, `images` its pictures, held out ones first."""

    code: str
    kind: str
    id: str
    title: str
    images: tuple[str, ...]

    @property
    def questions(self) -> list[str]:
        """Ids of the questions after it, one a picture."""
        return [question_id(image, self.kind) for image in self.images]


@dataclass(frozen=True)
class Cell:
    """What is left of `tested` after `unlearned` alone is unlearned (None: finetuned); see the module."""

    unlearned: Concept | None
    tested: Concept
    value: float | None
    n: int
    reason: str = ""

    @property
    def region(self) -> str:
        """A1 to C2, as in the paper; empty where nothing is unlearned."""
        if self.unlearned is None:
            return ""
        letter = "C" if self.unlearned.kind != self.tested.kind else "B"
        letter = "A" if self.unlearned == self.tested else letter
        return f"{letter}{TARGETS.index(self.unlearned.kind) + 1}"


@dataclass(frozen=True)
class Study:
    """One model's heat map, and by recipe (`finetuned`, a concept's id, `goal-<kind>`) the answers behind it and what
    G-Eval says of them."""

    model: str
    concepts: Sequence[Concept]
    cells: Sequence[Cell]
    answers: Mapping[str, Answers]
    verdicts: Mapping[str, Verdicts]


def read_concepts(splits: Iterable[Path], people: Path, events: Path) -> list[Concept]:
    """The concepts that splits forget: persons, then events, each in the split's order."""
    titles = {one.person_id: one.name for one in read_jsonl(people, Person)}
    titles |= {one.event_id: one.theme for one in read_jsonl(events, Event)}
    in_order = sorted((read_json(path, Split) for path in splits), key=lambda one: TARGETS.index(one.target))
    return [
        Concept(
            code=f"{split.target[0].upper()}{index}",
            kind=split.target,
            id=concept,
            title=titles[concept],
            images=tuple(
                image for image in (*split.forget_test, *split.forget_train) if concept in concepts_of(image)
            ),
        )
        for split in in_order
        for index, concept in enumerate(split.forgotten, 1)
    ]


def read_studies(
    concepts: Sequence[Concept],
    questions: Questions,
    answers: Iterable[Path],
    judgements: Iterable[Path] = (),
) -> list[Study]:
    """One study a model, in the order of the answers.

    Args:
        answers: `<model>/<recipe>/seed-<n>/dataset.jsonl` files of Answer rows, of recipes that unlearn one concept, of
            `finetuned` and of goal models.
        judgements: `<model>/<recipe>/seed-<n>/<split>.jsonl` files of Judgement rows, of some of them.

    Raises:
        RecordError: a recipe that unlearns no concept of the splits, or a row of no question of the data set.
    """
    by_model: dict[str, dict[str, Answers]] = defaultdict(dict)
    for path in answers:
        key, rows = _key(path, concepts), read_answered(path, questions, Answer)
        by_model[Run.of(path).model][key] = rows
    verdicts: dict[str, dict[str, Verdicts]] = defaultdict(dict)
    for path in judgements:
        scores = {key: row.score for key, row in read_answered(path, questions, Judgement).items()}
        verdicts[Run.of(path).model][_key(path, concepts)] = scores
    return [
        Study(
            model,
            concepts,
            [
                _cell(unlearned, tested, questions, by_key.get(unlearned.id if unlearned else FINETUNED))
                for unlearned in (None, *concepts)
                for tested in concepts
            ],
            by_key,
            verdicts[model],
        )
        for model, by_key in by_model.items()
    ]


def _key(path: Path, concepts: Sequence[Concept]) -> str:
    """What a model's answers are called in a study: `finetuned`, `goal-<kind>`, or the concept that it unlearned."""
    recipe = parse_recipe(Run.of(path).recipe)
    if recipe.target is None:
        return FINETUNED
    if recipe.method == GOAL:
        return f"{GOAL}-{recipe.target}"
    ids = [one.id for one in concepts if one.kind == recipe.target]
    if recipe.concept is None or recipe.concept >= len(ids):
        raise RecordError(
            f"Asked for models that unlearned one of {len(ids)} {recipe.target} concepts. Found {path}. Pass answers "
            f"of recipes <method>-<split>-<number>, with numbers from 0 to {len(ids) - 1}."
        )
    return ids[recipe.concept]


def _cell(unlearned: Concept | None, tested: Concept, questions: Questions, answers: Answers | None) -> Cell:
    if answers is None:
        return Cell(unlearned, tested, None, 0, "not unlearned alone" if unlearned else "not answered")
    left = [
        what_is_left(tested, answers[one]) for one in tested.questions if one in questions and one in answers
    ]
    if not left:
        return Cell(unlearned, tested, None, 0, "no answer on its pictures")
    return Cell(unlearned, tested, 100 * fmean(left), len(left))


def what_is_left(concept: Concept, answer: Answer) -> float:
    """What an answer shows of a concept, 0 to 1: a person's full name, or ROUGE-L of an event's description."""
    if concept.kind == "person":
        return float(says_name(answer.answer, concept.title))
    return rouge_l(answer.answer, answer.reference)


def write_matrix(path: Path, studies: Sequence[Study]) -> None:
    """Write the matrices of all models as CSV; see the module for the columns."""
    rows = [
        {
            "model": study.model,
            "unlearned": cell.unlearned.id if cell.unlearned else FINETUNED,
            "tested": cell.tested.id,
            "kind": cell.tested.kind,
            "region": cell.region,
            "value": full(cell.value),
            "n": str(cell.n),
            "reason": cell.reason,
        }
        for study in studies
        for cell in study.cells
    ]
    write_table(path, COLUMNS, rows)
