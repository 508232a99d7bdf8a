"""What the scores of a sequence rest on, read and compared: answers and ratings are those of its stages' questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmunlearn.evaluation.score_inputs import AGAIN
from mmunlearn.files import listed, shown
from mmunlearn.lifelong.statistics import Selection
from mmunlearn.records import Answer, Rating, RecordError, read_json, read_rows
from mmunlearn.tasks import RUBRICS, TaskQuestion, TaskSequence, asked_after, order_id


class Stage(NamedTuple):
    """What a sequence's model said after a task: question_id -> answer, and -> rating, None where it is missing."""

    task: str
    answers: Mapping[str, str]
    ratings: Mapping[str, int | None]


def read_stages(
    sequence: TaskSequence,
    tasks: Sequence[str],
    questions: Sequence[TaskQuestion],
    files: Mapping[str, Sequence[Path]],
) -> list[Stage]:
    """The stages of a sequence.

    Args:
        tasks: the sequence's, in its order.
        questions: those of the model; who is asked what follows from them.
        files: `answers`, `rejection`, `correctness`: one file a stage each, in any order.

    Raises:
        RecordError: the files are not those of the sequence's stages; an answer or rating is missing, or is to a
            question that the stage does not ask, to another picture, or against another reference.
    """
    _check_files(sequence, tasks, files)
    at = {name: {path.parent.name: path for path in paths} for name, paths in files.items()}
    stages = []
    for task in tasks:
        asked = asked_after(questions, tasks, task)
        said = _read_answers(at["answers"][task], asked, task)
        rated: dict[str, int | None] = {}
        for rubric, roles in RUBRICS.items():
            cases = [row for row in asked if row.role in roles]
            rated |= _read_ratings(at[rubric][task], cases, task)
        stages.append(Stage(task, said, rated))
    return stages


def read_left_out(path: Path, questions: Sequence[TaskQuestion]) -> dict[tuple[str, str, str], int]:
    """How many test questions of a set were left out, by task, role and class.

    Raises:
        RecordError: the selection is of other questions.
    """
    sets = read_json(path, Selection).sets
    asked = Counter((row.task, row.role, row.entity_class) for row in questions if row.asked)
    counted = {(one.task, one.role, one.entity_class): one.asked for one in sets}
    problems = [
        f"{counted.get(key, 0)} of {' '.join(filter(None, key))}, where the questions have {asked[key]}"
        for key in sorted(counted.keys() | asked)
        if counted.get(key, 0) != asked[key]
    ]
    if problems:
        raise RecordError(
            f"Asked {path} for the selection of {len(questions)} questions. Found {listed(problems)}. "
            f"{AGAIN.format('select_questions')}"
        )
    return {(one.task, one.role, one.entity_class): one.of_asked - one.asked for one in sets}


def _check_files(sequence: TaskSequence, tasks: Sequence[str], files: Mapping[str, Sequence[Path]]) -> None:
    problems = [
        f"{path}, which is no {name} of it"
        for name, paths in files.items()
        for path in paths
        if path.stem != name or path.parts[-6:-2] != Path(sequence.folder).parts
    ]
    for name, paths in files.items():
        stages = sorted(path.parent.name for path in paths)
        if stages != sorted(tasks):
            problems.append(f"{name} after {', '.join(stages) or 'no task'}")
    if problems or order_id(tasks) != sequence.order:
        raise RecordError(
            f"Asked for {', '.join(files)} of {sequence.folder} after each of {', '.join(tasks)}. Found "
            f"{listed(problems) or f'the order {sequence.order}'}. Name one file a stage, of that sequence."
        )


def _read_answers(path: Path, asked: Sequence[TaskQuestion], stage: str) -> dict[str, str]:
    rows, known = read_rows(path, Answer), {row.question_id: row for row in asked}
    problems = [
        f"line {line}: {problem}"
        for line, row in rows.items()
        if (problem := _problem(row, known.get(row.question_id)))
    ]
    said = {row.question_id: row.answer for row in rows.values()}
    _refuse(path, f"answers to the {len(asked)} questions after task {stage}", problems, known, said)
    return said


def _read_ratings(path: Path, asked: Sequence[TaskQuestion], stage: str) -> dict[str, int | None]:
    rows, known = read_rows(path, Rating), {row.question_id: row for row in asked}
    problems = [
        f"line {line}: {shown(row.question_id)} is not to be rated"
        for line, row in rows.items()
        if row.question_id not in known
    ]
    rated = {row.question_id: row.score for row in rows.values()}
    _refuse(path, f"ratings of {len(asked)} answers after task {stage}", problems, known, rated)
    return rated


def _problem(row: Answer, question: TaskQuestion | None) -> str | None:
    if question is None:
        return f"{shown(row.question_id)} is no question of this stage"
    for name, found, expected in (
        ("picture", row.image_id, question.image_id),
        ("question", row.question, question.question),
        ("reference", row.reference, question.answer),
    ):
        if found != expected:
            return f"the {name} of {row.question_id} is {shown(expected)}, not {shown(found)}"
    return None


def _refuse(
    path: Path, asked: str, problems: list[str], needed: Iterable[str], present: Mapping[str, Any]
) -> None:
    problems = problems + [f"no row of {one}" for one in needed if one not in present]
    if problems:
        of_experts = path.with_name("routes.jsonl").is_file()  # which answer_experts writes beside them
        answering = "answer_experts" if of_experts else "answer_stages"
        rule = answering if path.stem == "answers" else "judge_stages"
        raise RecordError(f"Asked {path} for {asked}. Found {listed(problems)}. {AGAIN.format(rule)}")
