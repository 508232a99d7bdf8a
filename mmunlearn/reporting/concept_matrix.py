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

from mmunlearn.evaluation.names import says_name
from mmunlearn.evaluation.rouge import rouge_l
from mmunlearn.ids import FINETUNED, Run, concepts_of, parse_recipe
from mmunlearn.records import Answer, Event, Person, Question, RecordError, Split, read_json, read_jsonl
from mmunlearn.reporting.layout import TARGETS, number, write_table

COLUMNS = ("model", "unlearned", "tested", "kind", "region", "value", "n", "reason")
Spoken = Mapping[str, Answer]  # question_id -> answer


@dataclass(frozen=True)
class Concept:
    """A forgotten person or event; `code` is its short name, e.g. P1, `images` its pictures, held out ones first."""

    code: str
    kind: str
    id: str
    title: str
    images: tuple[str, ...]


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
    """One model's heat map and the answers behind it, by recipe: `finetuned`, a concept's id, `goal-<kind>`."""

    model: str
    concepts: Sequence[Concept]
    cells: Sequence[Cell]
    answers: Mapping[str, Spoken]


def read_concepts(splits: Iterable[Path], people: Path, events: Path) -> list[Concept]:
    """The concepts that splits forget: persons, then events, each in the split's order."""
    titles = {one.person_id: one.name for one in read_jsonl(people, Person)}
    titles |= {one.event_id: one.theme for one in read_jsonl(events, Event)}
    read = sorted((read_json(path, Split) for path in splits), key=lambda one: TARGETS.index(one.target))
    return [
        Concept(
            code=f"{split.target[0].upper()}{index}",
            kind=split.target,
            id=own,
            title=titles[own],
            images=tuple(
                image for image in (*split.forget_test, *split.forget_train) if own in concepts_of(image)
            ),
        )
        for split in read
        for index, own in enumerate(split.forgotten, 1)
    ]


def read_questions(path: Path) -> dict[tuple[str, str], Question]:
    """(image, kind) -> question."""
    return {(one.image_id, one.kind): one for one in read_jsonl(path, Question)}


def studies(
    concepts: Sequence[Concept],
    questions: Mapping[tuple[str, str], Question],
    answers: Iterable[Path],
) -> list[Study]:
    """One study a model, in the order of the answers.

    Args:
        answers: `<model>/<recipe>/seed-<n>/dataset.jsonl` files of Answer rows, of recipes that unlearn one concept, of
            `finetuned` and of goal models.

    Raises:
        RecordError: a recipe that unlearns no concept of the splits.
    """
    spoken: dict[str, dict[str, Spoken]] = defaultdict(dict)
    for path in answers:
        run = Run.of(path)
        key = _voice(run.recipe, concepts, path)
        spoken[run.model][key] = {row.question_id: row for row in read_jsonl(path, Answer)}
    found = []
    for model, by_recipe in spoken.items():
        cells = [
            _cell(one, tested, questions, by_recipe.get(one.id if one else FINETUNED))
            for one in (None, *concepts)
            for tested in concepts
        ]
        found.append(Study(model, concepts, cells, by_recipe))
    return found


def _voice(recipe: str, concepts: Sequence[Concept], path: Path) -> str:
    """Whose answers a recipe's are: `finetuned`, `goal-<kind>`, or the id of the concept that it unlearns."""
    parsed = parse_recipe(recipe)
    if parsed.target is None:
        return FINETUNED
    if parsed.method == "goal":
        return f"goal-{parsed.target}"
    mine = [one for one in concepts if one.kind == parsed.target]
    if parsed.concept is None or parsed.concept >= len(mine):
        raise RecordError(
            f"Asked for models that unlearned one of {len(mine)} {parsed.target} concepts. Found {path}. Pass answers "
            f"of recipes <method>-<split>-<number>, with numbers from 0 to {len(mine) - 1}."
        )
    return mine[parsed.concept].id


def _cell(
    unlearned: Concept | None,
    tested: Concept,
    questions: Mapping[tuple[str, str], Question],
    answers: Spoken | None,
) -> Cell:
    if answers is None:
        return Cell(unlearned, tested, None, 0, "not unlearned alone" if unlearned else "not answered")
    asked = [questions[image, tested.kind] for image in tested.images if (image, tested.kind) in questions]
    said = [answers[one.question_id] for one in asked if one.question_id in answers]
    if not said:
        return Cell(unlearned, tested, None, 0, "no answer on its pictures")
    return Cell(unlearned, tested, 100 * fmean(left(tested, one) for one in said), len(said))


def left(concept: Concept, answer: Answer) -> float:
    """What an answer shows of a concept, 0 to 1: a person's full name, or ROUGE-L of an event's description."""
    if concept.kind == "person":
        return float(says_name(answer.answer, concept.title))
    return rouge_l(answer.answer, answer.reference)


def write_matrix(path: Path, found: Sequence[Study]) -> None:
    """Write the matrices of all models as CSV; see the module for the columns."""
    rows = [
        {
            "model": study.model,
            "unlearned": cell.unlearned.id if cell.unlearned else FINETUNED,
            "tested": cell.tested.id,
            "kind": cell.tested.kind,
            "region": cell.region,
            "value": number(cell.value),
            "n": str(cell.n),
            "reason": cell.reason,
        }
        for study in found
        for cell in study.cells
    ]
    write_table(path, COLUMNS, rows)
