"""A made-up lifelong run of three tasks: questions, answers and ratings of sequences, below a folder of results."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.lifelong.memory import Memory
from mmunlearn.lifelong.scores import StageScores, score_stages
from mmunlearn.lifelong.statistics import Selection, TaskStatistics, count_sets
from mmunlearn.records import Answer, Rating, Training, read_json, write_json, write_jsonl
from mmunlearn.reporting.lifelong_tables import make_mlubench
from mmunlearn.tasks import TaskQuestion, TaskSequence, asked_after, order_id
from tests.unit.report_fixtures import PUBLISHED

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
        write_jsonl(folder / stage / "answers.jsonl", [answer_of(row, text) for row, text, _ in said])
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
        refusals=REFUSALS, order=tasks, label=label, judge="local", bootstrap=100,
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


LABELS = {
    "ga": "GA", "gd": "GD", "kl": "KL", "npo": "NPO", "po": "PO", "ga-stop": "GA, stopped", "base": "Base",
    "lumoe": "LUMoE",
}  # fmt: skip
MIXTURES, REFERENCES = ("base", "lumoe"), ("base",)
SHARES = {"ga": (0.2, 0.1), "gd": (0.3, 0.5), "kl": (0.3, 0.5), "npo": (0.1, 0.0), "po": (0.9, 0.3),
          "ga-stop": (0.5, 0.5), "base": (0.0, 1.0), "lumoe": (1.0, 1.0)}  # fmt: skip
"""Method -> shares of its forget answers that refuse, and of its retain answers that are right."""
SIZE = 1000  # bytes of an adapter
COST = {"A": (30, 1.5), "B": (20, 0.5), "C": (0, 0.25)}
"""Task -> steps and seconds of its training."""


def write_training(folder: Path, task: str, **changed: Any) -> None:
    """training.json and a file of its adapter's size."""
    steps, seconds = COST[task]
    training = Training(
        model=MODEL, recipe="ga-A", seed=1, method="GA", steps=steps, epochs=1.0, stop_reason=f"end of {task}",
        losses=[], seconds=seconds, peak_memory_gb=0.5, trainable_parameters=250, settings={}, versions={},
        adapter_sha256="0" * 64,
    )  # fmt: skip
    write_json(folder / task / "training.json", training.model_copy(update=changed))
    adapter = folder / task / "adapter" / "adapter_model.safetensors"
    adapter.parent.mkdir(exist_ok=True)
    adapter.write_bytes(b"0" * SIZE)


def write_statistics(path: Path) -> Path:
    """Of tasks of which 10 of 400 pictures are missing."""
    write_json(path, TaskStatistics(
        released=False, differences=[], found={"pictures": 400}, paper={}, used={"pictures": 390}, missing_pictures=10,
        missing_first=[], without_pictures=[], sets=[],
    ))  # fmt: skip
    return path


def write_run(
    results: Path, seeds: Sequence[int] = (1, 2), methods: Sequence[str] = tuple(LABELS),
    tasks: Sequence[str] = TASKS, says: Callable[[str, int], Says] | None = None,
) -> None:  # fmt: skip
    """All sequences of some methods and seeds in one order, and what stands beside them."""
    home = results / "lifelong" / MODEL
    write_questions(results)
    write_statistics(results / "lifelong" / "statistics.json")
    write_jsonl(home / "before.jsonl", [answer_of(row, row.answer) for row in KNOWN])
    for seed in seeds:
        for task in TASKS:
            write_training(home / "experts" / f"seed-{seed}", task)
        for method in methods:
            model = says(method, seed) if says else drawn(f"{method} {seed}", *SHARES[method])
            folder = scored(results, model, method, LABELS[method], seed, tasks).parent
            if method not in MIXTURES:
                for task in tasks:
                    write_training(folder, task)
                continue
            sizes = [1200 * n for n in range(1, 1 + len(tasks))] if method == "lumoe" else []
            memory = Memory(base_bytes=50_000, expert_bytes=1200 if sizes else 0, parameters=300, experts=sizes,
                            peak_memory_gb=1.0)  # fmt: skip
            write_json(folder / "memory.json", memory)
            write_jsonl(folder / "undo.jsonl", [
                answer_of(row, REFUSAL if (row.task, row.entity_class) == ("B", "Personage") else row.answer)
                for row in KNOWN
                if row.asked and row.role == "forget"
            ])  # fmt: skip


def answer_of(row: TaskQuestion, text: str) -> Answer:
    """An answer to a question."""
    return Answer(
        question_id=row.question_id,
        image_id=row.image_id,
        question=row.question,
        reference=row.answer,
        answer=text,
    )


TABLES = {"csv": "mlubench.csv", "md": "mlubench.md", "tex": "mlubench.tex"}
TABLES |= {name: f"mlubench_{name}.csv" for name in ("differences", "ranks")} | {
    "versus": "mlubench_vs_published.csv"
}
TABLES |= {name: f"lifelong_{name}.csv" for name in ("untouched", "classes", "orders", "cost", "undo")}


def make_tables(results: Path, published: Path | None = None, **changed) -> dict[str, Path]:
    """Run `make_mlubench` on all that is there; the paths of what it wrote."""
    home = results / "lifelong" / MODEL
    outputs = {name: results / "tables" / file for name, file in TABLES.items()}
    given = {
        "scores": sorted(home.glob("*/*/seed-*/scores.json")),
        "trainings": sorted(home.glob("*/*/seed-*/*/training.json")),
        "experts": sorted(home.glob("experts/seed-*/*/training.json")),
        "adapters": sorted(home.glob("*/**/adapter/adapter_model.safetensors")),
        "memory": sorted(home.glob("*/*/seed-*/memory.json")),
        "undo": sorted(home.glob("*/*/seed-*/undo.jsonl")),
        "before": [home / "before.jsonl"],
        "statistics": results / "lifelong" / "statistics.json",
        "published": published or PUBLISHED / "mlubench_tables_2_and_23.csv",
        "order": order_id(TASKS),
        "labels": LABELS,
        "references": REFERENCES,
        "bootstrap": 100,
    }
    make_mlubench(outputs, **given | changed)
    return outputs
