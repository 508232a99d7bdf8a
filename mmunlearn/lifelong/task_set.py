"""The tasks of a release as questions on pictures that are there, and which of them a base model can answer."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from mmunlearn.curation.entities import entities
from mmunlearn.evaluation.key_words import knows
from mmunlearn.evaluation.sampling import in_turn
from mmunlearn.files import RecordError
from mmunlearn.lifelong.drawn import require_drawn
from mmunlearn.lifelong.picture_folder import Missing, PictureFolder, missing_in
from mmunlearn.lifelong.released import ROLES, Released, ReleasedQuestion, read_released
from mmunlearn.lifelong.statistics import (
    PAPER,
    RELEASE,
    RELEASED_TASKS,
    Selection,
    TaskStatistics,
    count_sets,
)
from mmunlearn.pictures import open_picture
from mmunlearn.progress import progress
from mmunlearn.records import Answer, read_jsonl, sha256_of, write_json, write_jsonl
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import TaskQuestion
from mmunlearn.text import fold

logger = logging.getLogger(__name__)


def read_tasks(
    output: Path,
    statistics: Path,
    *,
    manifest: Path | Sequence[Path] = (),
    source: str | Path,
    pictures: str | Path,
    tasks: Sequence[str],
    test_share: float | None,
    questions: int | None,
    keep_available: bool,
    seed: int,
) -> None:
    """Write the questions of the tasks and what they are.

    Args:
        output: questions.jsonl, TaskQuestion rows: task by task, those to forget first, then untouched ones and
            strangers.
        statistics: JSON of `TaskStatistics`.
        manifest: of the folder, where it was drawn (`draw_tasks`).
        source: the released folder or zip.
        pictures: folder of the pictures, with or without the released first folder.
        test_share: share of an entity's pictures that are held out, in all tasks: at least one of two is, and one is
            not. Equal files are on one side. None: all are trained on and asked.
        questions: test questions of a role of a task at most, as many of every entity as can be; None for all.
        keep_available: go on where pictures are missing, without their questions.
        seed: of what is drawn.
    Raises:
        RecordError: a drawn file is not the manifest's; the release is damaged (`read_released`); pictures are missing,
            or cannot be read; or a task has nothing to train on or nothing to ask.
    """
    source, pictures = Path(source), Path(pictures)
    if isinstance(manifest, Path):
        require_drawn(manifest)
    released = read_released(source, tasks)
    folder = PictureFolder(pictures)
    missing = missing_in(folder, (one.picture for one in released.questions))
    if problem := missing.problem(pictures, keep_available):
        raise RecordError(problem)
    if missing.pictures:
        logger.warning("goes on with the questions of %d of %d pictures", missing.found, missing.of)
    rows = _located(_rows(released), folder)
    rows = _limited(_parted(rows, test_share, seed), questions, seed)
    _require(rows, tasks, f"the pictures in {pictures}")
    write_jsonl(output, rows)
    write_json(statistics, task_statistics(released, rows, missing))
    logger.info("%d questions on %d pictures", len(rows), len({row.image_id for row in rows}))


def _rows(released: Released) -> list[tuple[ReleasedQuestion, TaskQuestion]]:
    """All questions; their pictures are not found yet."""
    sets = [(t, role, rows) for t, roles in released.tasks.items() for role, rows in roles.items()]
    found = [(one, _row(one, task, role, one.row)) for task, role, rows in sets for one in rows]
    more = {"untouched": released.others, "stranger": released.strangers}
    return found + [
        (one, _row(one, "", role, number))
        for role, rows in more.items()
        for number, one in enumerate(rows, start=1)
    ]


def _row(one: ReleasedQuestion, task: str, role: str, number: int) -> TaskQuestion:
    entity_class, entity = one.folders
    return TaskQuestion(
        question_id="-".join(filter(None, [task, role, str(number)])),
        image_id=one.image_id,
        task=task,
        role=role,
        part="both" if task else "test",
        entity_class=entity_class,
        entity=entity.replace("_", " "),
        question=one.question,
        answer=one.answer,
        path="",
        sha256="",
    )


def _located(
    rows: Iterable[tuple[ReleasedQuestion, TaskQuestion]], folder: PictureFolder
) -> list[TaskQuestion]:
    """The rows whose picture is there, with its place. Raises RecordError for a picture that cannot be read."""
    pairs = [(row, path) for one, row in rows if (path := folder.find(one.picture)) is not None]
    places: dict[str, dict[str, str]] = {}
    for image_id, path in progress(
        {row.image_id: path for row, path in pairs}.items(), "pictures", unit="picture"
    ):
        open_picture(path)
        places[image_id] = {"path": path.as_posix(), "sha256": sha256_of(path)}
    return [row.model_copy(update=places[row.image_id]) for row, _ in pairs]


def _parted(rows: Sequence[TaskQuestion], test_share: float | None, seed: int) -> list[TaskQuestion]:
    """The rows with their part: each entity's files are halved by lot, whatever they are called.

    Tasks share entities, and whatever was trained on in one must not be asked in another: a picture has one part.
    """
    if test_share is None:
        return list(rows)
    files: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        files.setdefault(_entity(row), {}).setdefault(row.sha256, row.image_id)
    held_out: set[tuple[tuple[str, str], str]] = set()
    for key, of_entity in files.items():
        drawn = sorted(of_entity, key=lambda sha256: of_entity[sha256])
        random.Random(derive_seed(seed, "held out", *key)).shuffle(drawn)
        most = max(len(drawn) - 1, 0)
        count = min(max(round(test_share * len(drawn)), 1), most)
        held_out |= {(key, sha256) for sha256 in drawn[:count]}
    return [
        row.model_copy(update={"part": "test" if (_entity(row), row.sha256) in held_out else "train"})
        if row.task
        else row
        for row in rows
    ]


def _entity(row: TaskQuestion) -> tuple[str, str]:
    return row.entity_class, row.entity


def _limited(rows: Sequence[TaskQuestion], questions: int | None, seed: int) -> list[TaskQuestion]:
    """The rows without what exceeds the bound on what is asked; what is trained on, too, stays for that alone."""
    if questions is None:
        return list(rows)
    lots = sorted(rows, key=lambda row: (derive_seed(seed, "lot", row.question_id), row.question_id))
    sets: dict[tuple[str, str], dict[tuple[str, str], list[TaskQuestion]]] = {}
    for row in filter(lambda row: row.asked, lots):
        sets.setdefault((row.task, row.role), {}).setdefault(_entity(row), []).append(row)
    drawn = {row.question_id for groups in sets.values() for row in in_turn(groups.values())[:questions]}
    return [
        row.model_copy(update={"part": "train"}) if row.asked and row.question_id not in drawn else row
        for row in rows
        if not row.asked or row.question_id in drawn or row.trained
    ]


def _require(rows: Sequence[TaskQuestion], tasks: Sequence[str], by: str) -> None:
    """Raises RecordError where a task has nothing to train on, or nothing to ask."""
    there = {
        "train on": {(row.task, row.role) for row in rows if row.trained},
        "ask": {(row.task, row.role) for row in rows if row.asked},
    }
    roles: dict[tuple[str, str], list[str]] = {}
    for task, role in product(tasks, ROLES):
        if kinds := [kind for kind, sets in there.items() if (task, role) not in sets]:
            roles.setdefault((task, " or to ".join(kinds)), []).append(role)
    alike: dict[tuple[str, str], list[str]] = {}
    for (task, kinds), of_task in roles.items():
        alike.setdefault((kinds, " and ".join(of_task)), []).append(task)
    lacking = [f"nothing to {kinds} in {', '.join(names)} ({of})" for (kinds, of), names in alike.items()]
    if lacking:
        raise RecordError(
            f"Asked for questions to train on and to ask of every task. Found, by {by}, {'; '.join(lacking)}. Bring "
            f"more pictures, change lifelong.test_share, or take the task out of lifelong.tasks."
        )


def task_statistics(released: Released, rows: Sequence[TaskQuestion], missing: Missing) -> TaskStatistics:
    """What a release holds and what of it is used."""
    found = _numbers(released.questions)
    differences = _differences(released)
    for line in differences or []:
        logger.warning("not the released data set: %s", line)
    used = found | {
        "entities": len({(row.entity_class, row.entity) for row in rows}),
        "classes": len({row.entity_class for row in rows}),
        "questions": len(rows),
        "pictures": len({row.image_id for row in rows}),
    }
    return TaskStatistics(
        released=differences == [],
        differences=differences or [],
        found=found,
        paper=PAPER if differences is not None else {},
        used=used,
        missing_pictures=len(missing.pictures),
        missing_first=missing.pictures[:20],
        without_pictures=missing.entities,
        sets=count_sets([row for _, row in _rows(released)], rows),
    )


def _numbers(questions: Sequence[ReleasedQuestion]) -> dict[str, int]:
    return {
        "entities": len({one.folders for one in questions}),
        "classes": len({one.folders[0] for one in questions}),
        "questions": len(questions),
        "pictures": len({one.image_id for one in questions}),
    }


def _differences(released: Released) -> list[str] | None:
    """What differs from the release, strangers aside; None where the entities are not MLUBench's."""
    known, found = entities(), _numbers(released.asked)
    names = {one.folders[1].replace("_", " ") for one in released.asked}
    if not {hashlib.sha256(fold(name).encode()).hexdigest() for name in names} <= known:
        return None
    counts = {
        f"{role} of {task}": len(rows)
        for task, roles in released.tasks.items()
        for role, rows in roles.items()
    }
    expected = {
        f"{role} of {task}": n
        for task, both in RELEASED_TASKS.items()
        for role, n in zip(ROLES, both, strict=True)
    }
    return [
        f"{what}: {n}, the release has {(RELEASE | expected).get(what, 'no such task')}"
        for what, n in (found | counts).items()
        if n != (RELEASE | expected).get(what)
    ]


def select_questions(
    output: Path, selection: Path, *, questions: Path, answers: Path, known_only: bool
) -> None:
    """Write the questions that a base model answers, and how many of each set it does not; strangers' are not counted.

    Args:
        output: TaskQuestion rows, in their order, and all of strangers.
        selection: JSON of `Selection`.
        answers: the base's answers (Answer rows); all questions' where `known_only`.
        known_only: leave out what it cannot answer; else all are taken.
    Raises:
        RecordError: a question has no answer, or a task keeps nothing to train on or to ask.
    """
    rows = read_jsonl(questions, TaskQuestion)
    strangers = [row for row in rows if row.role == "stranger"]
    of = taken = [row for row in rows if row.role != "stranger"]
    if known_only:
        said = {row.question_id: row.answer for row in read_jsonl(answers, Answer)}
        lacking = [row.question_id for row in of if row.question_id not in said]
        if lacking:
            raise RecordError(
                f"Asked {answers} for an answer to every question of {questions}. Found none to {lacking[0]} and "
                f"{len(lacking) - 1} more. Run the rule that wrote it again (--forcerun answer_before)."
            )
        taken = [row for row in of if knows(said[row.question_id], row.answer, row.question)]
        _require(taken, list(dict.fromkeys(row.task for row in rows if row.task)), "what the base answers")
    every = [*taken, *strangers]
    write_jsonl(output, every)
    sets = count_sets(rows, every)
    write_json(selection, Selection(known_only=known_only, of=len(of), questions=len(taken), sets=sets))
    logger.info("%d of %d questions are answered", len(taken), len(of))
