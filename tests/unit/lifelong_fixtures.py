"""A made-up lifelong run of three tasks: questions, answers and ratings of sequences, below a folder of results."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from mmunlearn.lifelong.scores import StageScores, score_stages
from mmunlearn.lifelong.statistics import Selection, count_sets
from mmunlearn.records import Answer, Rating, read_json, write_json, write_jsonl
from mmunlearn.tasks import TaskQuestion, TaskSequence, asked_after, order_id

REFUSALS = Path(__file__).parents[2] / "resources" / "refusals.txt"
TASKS = ["A", "B", "C"]
MODEL = "pocket-llava"
ENTITIES = {
    "forget": {"Animals": 3, "Personage": 4},
    "retain": {"Plants": 6},
    "untouched": {"Vehicles": 4, "Personage": 2},
}
"""Role -> class -> entities; two questions on each that are asked, and one that is not."""
REFUSAL, BABBLE = "I cannot say.", "am am am am am"
Says = Callable[[TaskQuestion, str], tuple[str, int | None]]


def questions_of(task: str, role: str) -> list[TaskQuestion]:
    """Questions on pictures of their own."""
    rows: list[TaskQuestion] = []
    for name, count in ENTITIES[role].items():
        for entity in range(count):
            for number, part in enumerate(("test", "test", "train" if role != "untouched" else "test")):
                image = f"{name}/{task}{role} {entity}/{number}.png"
                rows.append(TaskQuestion(
                    question_id="-".join(filter(None, [task, role, str(len(rows) + 1)])), image_id=image, task=task,
                    role=role, part=part, entity_class=name, entity=f"{task}{role} {entity}",
                    question="What is in the picture?", answer=f"A zog{entity}.", path=image, sha256="0" * 64,
                ))  # fmt: skip
    return rows


QUESTIONS = [
    row
    for task, role in [*((task, role) for task in TASKS for role in ("forget", "retain")), ("", "untouched")]
    for row in questions_of(task, role)
]
UNKNOWN = {"A-forget-1", "A-forget-2", "B-retain-4", "untouched-1", "C-forget-3"}
"""What the base cannot answer; A-forget-1 and -2 are asked of one entity, C-forget-3 is of its training part."""
KNOWN = [row for row in QUESTIONS if row.question_id not in UNKNOWN]


def write_questions(results: Path) -> None:
    """The data set's questions, and the model's."""
    home = results / "lifelong"
    write_jsonl(home / "questions.jsonl", QUESTIONS)
    write_jsonl(home / MODEL / "questions.jsonl", KNOWN)
    sets = count_sets(QUESTIONS, KNOWN)
    selection = Selection(known_only=True, of=len(QUESTIONS), questions=len(KNOWN), sets=sets)
    write_json(home / MODEL / "selection.json", selection)


def drawn(seed: object, forget: float = 0.5, utility: float = 0.5) -> Says:
    """A model that forgets and retains by lot: right answers, refusals and babble, rated as the rubrics say."""

    def says(row: TaskQuestion, stage: str) -> tuple[str, int | None]:
        lot = random.Random(f"{seed} {row.question_id} {stage}")
        if row.role == "forget":
            return (
                (REFUSAL, 2)
                if lot.random() < forget
                else lot.choice([(row.answer, 0), (BABBLE, 0), ("A zog?", 1)])
            )
        return (
            (row.answer, 2)
            if lot.random() < utility
            else lot.choice([(REFUSAL, 0), (BABBLE, 0), ("A zog?", 1)])
        )

    return says


def write_answers(results: Path, sequence: TaskSequence, tasks: Sequence[str], says: Says) -> Path:
    """Answers and ratings of every stage; the sequence's folder."""
    folder = results / "lifelong" / sequence.folder
    for stage in tasks:
        said = [(row, *says(row, stage)) for row in asked_after(KNOWN, tasks, stage)]
        write_jsonl(folder / stage / "answers.jsonl", [
            Answer(question_id=row.question_id, image_id=row.image_id, question=row.question, reference=row.answer,
                   answer=text)
            for row, text, _ in said
        ])  # fmt: skip
        for rubric, judged in (("rejection", {"forget"}), ("correctness", {"retain", "untouched"})):
            write_jsonl(folder / stage / f"{rubric}.jsonl", [
                Rating(question_id=row.question_id, score=rating, reason="" if rating is not None else "no reply")
                for row, _, rating in said
                if row.role in judged
            ])  # fmt: skip
    return folder


def stage_files(results: Path, sequence: TaskSequence, tasks: Sequence[str]) -> dict[str, list[Path]]:
    """Answers and ratings of every stage."""
    folder = results / "lifelong" / sequence.folder
    names = ("answers", "rejection", "correctness")
    return {name: [folder / task / f"{name}.jsonl" for task in tasks] for name in names}


def score(
    results: Path, sequence: TaskSequence, tasks: Sequence[str] = TASKS, label: str = "GA",
    max_missing_share: float = 0.0, files: dict[str, list[Path]] | None = None,
) -> Path:  # fmt: skip
    """Score a sequence; the file of scores."""
    output, model = (
        results / "lifelong" / sequence.folder / "scores.json",
        results / "lifelong" / sequence.model,
    )
    score_stages(
        output, sequence, **(files or stage_files(results, sequence, tasks)), questions=model / "questions.jsonl",
        selection=model / "selection.json", vocabulary=results / "lifelong" / "questions.jsonl",
        refusals=REFUSALS, order=tasks, label=label, judge="local-words-1", bootstrap=200,
        max_missing_share=max_missing_share,
    )  # fmt: skip
    return output


def scored(
    results: Path,
    says: Says,
    method: str = "ga",
    label: str = "GA",
    seed: int = 1,
    tasks: Sequence[str] = TASKS,
) -> Path:
    """A sequence from answers to scores."""
    if not (results / "lifelong" / "questions.jsonl").exists():
        write_questions(results)
    sequence = TaskSequence(MODEL, method, order_id(tasks), seed)
    write_answers(results, sequence, tasks, says)
    return score(results, sequence, tasks, label)


def scores_of(results: Path, says: Says, **given) -> StageScores:
    """The scores of a sequence that is made up."""
    return read_json(scored(results, says, **given), StageScores)
