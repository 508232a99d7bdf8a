"""The forget and retain sets of a recipe, read from questions and splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmunlearn.ids import concepts_of
from mmunlearn.models.example import Example
from mmunlearn.records import Question, Split, SuiteQuestion, read_json, read_jsonl
from mmunlearn.tasks import TaskQuestion


@dataclass(frozen=True)
class Sets:
    """What is forgotten, by target, one question an example, and what is retained, all questions of an image."""

    person: list[Example]
    event: list[Example]
    retain: list[Example]

    @property
    def forget(self) -> list[Example]:
        return [*self.person, *self.event]


def read_sets(questions: Path, splits: Sequence[Path], concept: int | None = None) -> Sets:
    """The training questions of one split, or of a person and an event split together.

    Forgotten are the person questions of the person split's training pictures and the event questions of the event
    split's; retained is every picture that no split forgets, be it for training or for testing.

    Args:
        concept: forget the split's concept of this number alone. Its other concepts are not retained either.

    Raises:
        ValueError: the splits have one target twice, there is no such concept, or a set is empty.
    """
    parts = [read_json(path, Split) for path in splits]
    names = ", ".join(map(str, splits))
    if not parts or len({split.target for split in parts}) < len(parts):
        raise ValueError(
            f"a recipe forgets one split, or a person and an event split together; found {names or 'none'}. "
            "Name each target once."
        )
    train = {split.target: set(split.forget_train) for split in parts}
    if concept is not None:
        if len(parts) > 1:
            raise ValueError(
                f"concept {concept} of {names} together is asked for; name one split of one target"
            )
        train = {split.target: _of_concept(split, concept, names) for split in parts}
    rows, images = read_jsonl(questions, Question), retained(splits)
    forget = {
        target: group_questions(row for row in rows if row.kind == target and row.image_id in pictures)
        for target, pictures in train.items()
    }
    retain = group_questions(row for row in rows if row.image_id in images)
    if not all(forget.values()) or not retain:
        raise ValueError(
            f"{names}: questions to forget and to keep are asked for; {questions} holds "
            f"{', '.join(f'{len(examples)} of {target}' for target, examples in forget.items())} to forget and "
            f"{len(retain)} pictures to keep. Lower dataset.percents, or make more people and events."
        )
    return Sets(forget.get("person", []), forget.get("event", []), retain)


def retained(splits: Sequence[Path]) -> set[str] | None:
    """The images that none of the splits forgets; None (all images) where there is no split."""
    sets = [set(read_json(path, Split).retain) for path in splits]
    return set.intersection(*sets) if sets else None


def _of_concept(split: Split, number: int, names: str) -> set[str]:
    if number >= len(split.forgotten):
        raise ValueError(
            f"concept {number} is asked for, but {names} forgets {len(split.forgotten)} concepts; "
            f"name one from 0 to {len(split.forgotten) - 1}"
        )
    concept = split.forgotten[number]
    return {image for image in split.forget_train if concept in concepts_of(image)}


def group_questions(rows: Iterable[Question | SuiteQuestion | TaskQuestion]) -> list[Example]:
    """Questions by picture, in the order of the rows."""
    turns: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        turns.setdefault(row.image_id, []).append((row.question, row.answer))
    return [Example(image_id, tuple(of_image)) for image_id, of_image in turns.items()]
