"""Table and figure of what the tasks hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmunlearn.files import RecordError
from mmunlearn.lifelong.statistics import PAPER, RELEASE, TaskStatistics, count_sets
from mmunlearn.records import digest_of, sha256_of, write_json
from mmunlearn.reporting.layout import read_table
from mmunlearn.reporting.lifelong_data import caption, plot_lifelong_data
from mmunlearn.tasks import TaskQuestion
from tests.unit.figure_checks import assert_readable, assert_same_bytes, caught, notes


def rows_of(task: str, role: str, entity_class: str, entities: int, questions: int) -> list[TaskQuestion]:
    """On one picture of an entity each; every third is for testing."""
    return [
        TaskQuestion(
            question_id=f"{task}{role}{entity_class}{e}-{q}", image_id=f"{entity_class}/{e}/1", task=task, role=role,
            part="test" if q % 3 == 0 or role == "untouched" else "train", entity_class=entity_class, entity=str(e),
            question="?", answer="!", path="", sha256="",
        )
        for e in range(entities)
        for q in range(questions)
    ]  # fmt: skip


def statistics(path: Path, classes: int = 2, **changed: Any) -> Path:
    every = [
        *rows_of("A", "forget", "Animals", 4, 30), *rows_of("A", "forget", "TV $ series_", 1, 6),
        *rows_of("A", "retain", "Plants", 3, 10), *rows_of("", "untouched", "Animals", 2, 3),
    ]  # fmt: skip
    for number in range(classes):
        every += rows_of("B", "forget", f"Class {number}", 2, 5)
    used = [row for row in every if row.entity != "3"]
    counts = {
        "released": False, "differences": [], "found": {"entities": 12, "classes": 5, "questions": 176, "pictures": 12},
        "paper": {}, "used": {"entities": 11, "classes": 5, "questions": 146, "pictures": 11}, "missing_pictures": 0,
        "missing_first": [], "without_pictures": [], "sets": count_sets(every, used),
    }  # fmt: skip
    write_json(path, TaskStatistics(**counts | changed))
    return path


def test_the_table_counts_classes_in_roles_of_tasks(tmp_path):
    path = statistics(tmp_path / "s.json")
    plot_lifelong_data(path, tmp_path / "t.csv", tmp_path / "f.png", tmp_path / "f.pdf")
    first, *_, last = read_table(tmp_path / "t.csv")
    assert first == {
        "task": "A", "role": "forget", "class": "Animals", "entities": "3", "of_entities": "4", "questions": "90",
        "of_questions": "120", "pictures": "3", "of_pictures": "4", "trained": "60", "asked": "30",
        "trained_pictures": "3", "asked_pictures": "3", "missing_pictures": "0 of 12",
        "digest": digest_of([sha256_of(path)]), "note": "",
    }  # fmt: skip
    assert {name: cell for name, cell in last.items() if cell} == {
        "task": "all", "class": "5 classes", "entities": "11", "of_entities": "12", "questions": "146",
        "of_questions": "176", "pictures": "11", "of_pictures": "12", "missing_pictures": "0 of 12",
        "digest": first["digest"],
        "note": "The tasks' files name 12 entities of 5 classes and 176 questions on 12 pictures. 146 of 176 questions "
        "are used.",
    }  # fmt: skip


def test_the_release_is_set_beside_what_the_paper_says(tmp_path):
    path = statistics(tmp_path / "s.json", released=True, found=RELEASE, used=RELEASE, paper=PAPER)
    plot_lifelong_data(path, tmp_path / "t.csv", tmp_path / "f.png", tmp_path / "f.pdf")
    *_, found, paper = read_table(tmp_path / "t.csv")
    assert (found["pictures"], paper["task"], paper["pictures"]) == ("2453", "paper", "5105")
    assert found["missing_pictures"] == "0 of 2453" and paper["missing_pictures"] == paper["digest"] == ""
    assert (
        "15,414 questions on 2,453 pictures: the released MLUBench (the paper says 5,105 pictures)."
        in found["note"]
    )


def test_the_caption_says_of_how_many(tmp_path):
    line = "pictures: 12, the release has 2453"
    path = statistics(tmp_path / "s.json", missing_pictures=1, paper=PAPER, differences=[line])
    text = caption(TaskStatistics.model_validate_json(path.read_text("utf-8")))
    assert f"MLUBench's entities, but not as released ({line}). 11 of 12 pictures are there." in text


def test_strangers_are_counted_apart(tmp_path):
    sets = count_sets(
        both := [*rows_of("A", "forget", "Plants", 3, 4), *rows_of("", "stranger", "People", 2, 1)], both
    )
    found = {"entities": 5, "classes": 2, "questions": 14, "pictures": 5}
    path = statistics(tmp_path / "s.json", sets=sets, found=found, used=found)
    text = caption(TaskStatistics.model_validate_json(path.read_text("utf-8")))
    assert text == (
        "The tasks' files name 3 entities of 2 classes and 12 questions on 3 pictures. Beside them stand 2 strangers "
        "with 2 questions."
    )


@pytest.mark.parametrize("classes", [2, 19])
def test_the_figure_is_readable_and_says_what_it_counts(tmp_path, monkeypatch, classes):
    path = statistics(tmp_path / "s.json", classes)
    figure = caught(monkeypatch, lambda png, pdf: plot_lifelong_data(path, tmp_path / "t.csv", png, pdf))
    assert_readable(figure)
    entities, questions = figure.axes
    assert [label.get_text() for label in entities.get_yticklabels()] == [
        "A forget",
        "A retain",
        "untouched",
        "B forget",
    ]
    texts = {text.get_text() for text in questions.texts}
    assert {"90", "96 of 126", "30", "6"} <= texts
    assert "30 of 30" not in texts
    assert "4 of 5" in {text.get_text() for text in entities.texts}
    assert notes(figure).startswith(
        "Questions of the files; a share of the pictures (test_share) is held out"
    )
    assert "The tasks' files name 12 entities" in notes(figure)
    assert [axes.get_title() for axes in figure.axes] == ["Entities", "Questions"]


def test_the_figures_bytes_rest_on_the_data_alone(tmp_path):
    path = statistics(tmp_path / "s.json")
    assert_same_bytes(tmp_path, lambda png, pdf: plot_lifelong_data(path, tmp_path / "t.csv", png, pdf))


def test_statistics_without_a_task_are_named(tmp_path):
    with pytest.raises(RecordError, match=r"for tasks\. Found none"):
        plot_lifelong_data(
            statistics(tmp_path / "s.json", sets=[]), *(tmp_path / name for name in ("t", "p", "q"))
        )
