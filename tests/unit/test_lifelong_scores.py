"""Scores of sequences from hand-made answers and ratings: X after Y, the untouched, classes, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.evaluation.intervals import interval
from mmunlearn.lifelong.scores import ALL, MACRO, StageScores
from mmunlearn.records import Answer, Rating, RecordError, read_json, read_jsonl, write_jsonl
from mmunlearn.seeds import derive_seed
from mmunlearn.tasks import TaskSequence
from tests.unit.lifelong_fixtures import (
    BABBLE,
    KNOWN,
    MODEL,
    REFUSAL,
    TASKS,
    drawn,
    score,
    scored,
    scores_of,
    stage_files,
    write_answers,
    write_questions,
)

SEQUENCE = TaskSequence(MODEL, "ga", "ABC", 1)


def changing(row, stage):
    """Forgotten when their task comes, babble from C on: A is told again after B by its first two people."""
    if row.role == "forget":
        if stage == "C":
            return BABBLE, 0
        back = row.entity_class == "Personage" and row.entity.endswith(("0", "1"))
        return (row.answer, 0) if (row.task, stage) == ("A", "B") and back else (REFUSAL, 2)
    if row.role == "untouched":
        return ("A zog?", 1) if stage == "A" else (REFUSAL, 0)
    return (row.answer, 2) if row.task == stage else ("A zog?", 1)


def value(scores: StageScores, task: str, role: str, stage: str, metric: str, name: str = ALL):
    return scores.at[task, role, stage, metric, name].value


def test_task_x_after_task_y_is_halved_ratings_of_x_at_stage_y(tmp_path: Path) -> None:
    """A has 3 animals and 4 people to forget; 2 of the 14 questions that are asked of them were left out."""
    scores = scores_of(tmp_path, changing)
    assert value(scores, "A", "forget", "A", "forget") == 1.0
    assert value(scores, "A", "forget", "B", "forget") == pytest.approx(8 / 12)
    assert value(scores, "B", "forget", "B", "forget") == 1.0
    assert value(scores, "A", "forget", "B", "knows") == pytest.approx(4 / 12)
    assert [value(scores, task, "forget", "C", "forget") for task in TASKS] == [0.0] * 3
    assert [value(scores, task, "forget", "C", "degenerate") for task in TASKS] == [1.0] * 3
    assert [value(scores, "A", "retain", stage, "utility") for stage in TASKS] == [1.0, 0.5, 0.5]
    assert (
        value(scores, "B", "retain", "B", "knows") == 1.0
        and value(scores, "A", "retain", "B", "knows") == 0.0
    )
    assert [value(scores, "", "untouched", stage, "utility") for stage in TASKS] == [0.5, 0.0, 0.0]
    assert ("B", "forget", "A", "forget", ALL) not in scores.at


def test_classes_stand_beside_the_mean_over_questions(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, changing)
    assert value(scores, "A", "forget", "B", "forget", "Animals") == 1.0
    assert value(scores, "A", "forget", "B", "forget", "Personage") == 0.5
    assert value(scores, "A", "forget", "B", "forget", MACRO) == 0.75
    assert value(scores, "", "untouched", "A", "utility", "Vehicles") == 0.5
    assert ("A", "retain", "A", "utility", "Animals") not in scores.at


def test_counts_are_of_questions_entities_and_what_was_left_out(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, changing)
    found = {
        place: (cell.n, cell.clusters, cell.left_out, cell.missing)
        for place in [("A", "forget", ALL), ("A", "forget", "Animals"), ("A", "forget", "Personage"),
                      ("A", "forget", MACRO), ("B", "retain", ALL), ("C", "forget", ALL), ("", "untouched", ALL)]
        if (cell := scores.at[place[0], place[1], "C", "knows", place[2]])
    }  # fmt: skip
    assert found == {
        ("A", "forget", ALL): (12, 6, 2, 0),
        ("A", "forget", "Animals"): (4, 2, 2, 0),
        ("A", "forget", "Personage"): (8, 4, 0, 0),
        ("A", "forget", MACRO): (12, 6, 2, 0),
        ("B", "retain", ALL): (11, 6, 1, 0),
        ("C", "forget", ALL): (14, 7, 0, 0),
        ("", "untouched", ALL): (17, 6, 1, 0),
    }
    assert scores.at["A", "forget", "B", "forget", ALL].sums["Personage/Aforget 0"] == (0.0, 2)
    assert scores.at["A", "forget", "B", "forget", ALL].sums["Animals/Aforget 1"] == (2.0, 2)


def test_intervals_are_over_entities_on_the_scale_of_the_table(tmp_path: Path) -> None:
    """Two questions of an entity agree, so an interval over questions would be narrower."""
    cell = scores_of(tmp_path, changing).at["A", "forget", "B", "forget", ALL]
    sums = {"": {f"{n}": (2.0 * (n > 1), 2) for n in range(6)}}
    seed = derive_seed(1, "bootstrap")
    by_entity = interval(sums, seed=seed, resamples=100, ends=(0.0, 1.0))
    by_question = interval(
        {"": {f"{n}": (float(n > 3), 1) for n in range(12)}}, seed=seed, resamples=100, ends=(0, 1)
    )
    assert 0 <= cell.low < cell.value < cell.high <= 1
    assert cell.high - cell.low == pytest.approx(by_entity[1] - by_entity[0], abs=0.05)
    assert cell.high - cell.low > by_question[1] - by_question[0]


def test_another_order_has_its_own_cells_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    write_questions(tmp_path)
    order, sequence = ["C", "A", "B"], TaskSequence(MODEL, "ga", "CAB", 1)
    write_answers(tmp_path, sequence, order, changing)
    scores = read_json(score(tmp_path, sequence, order), StageScores)
    assert scores.tasks == order and scores.order == "CAB"
    assert ("C", "forget", "B", "forget", ALL) in scores.at and (
        "B",
        "forget",
        "C",
        "forget",
        ALL,
    ) not in scores.at
    again = read_json(
        score(tmp_path, sequence, order, files=stage_files(tmp_path, sequence, TASKS)), StageScores
    )
    assert again.cells == scores.cells


def unrated(row, stage):
    text, rating = changing(row, stage)
    return text, None if row.question_id == "A-forget-4" and stage == "B" else rating


def test_a_missing_rating_is_never_zero(tmp_path: Path) -> None:
    write_questions(tmp_path)
    write_answers(tmp_path, SEQUENCE, TASKS, unrated)
    with pytest.raises(ValueError, match=r"Found 1 of 12 of forget on A after B\. .*--forcerun judge_stages"):
        score(tmp_path, SEQUENCE)
    scores = read_json(score(tmp_path, SEQUENCE, max_missing_share=0.1), StageScores)
    cell = scores.at["A", "forget", "B", "forget", ALL]
    assert (cell.n, cell.missing, cell.value) == (11, 1, pytest.approx(7 / 11))
    assert scores.at["A", "forget", "B", "knows", ALL].n == 12


def test_a_cell_without_ratings_has_no_value_but_a_reason(tmp_path: Path) -> None:
    write_questions(tmp_path)
    write_answers(
        tmp_path, SEQUENCE, TASKS, lambda row, stage: ("A zog?", None if row.role == "retain" else 1)
    )
    scores = read_json(score(tmp_path, SEQUENCE, max_missing_share=1.0), StageScores)
    cell = scores.at["A", "retain", "A", "utility", ALL]
    assert (cell.value, cell.low, cell.n, cell.reason) == (None, None, 0, "all 12 ratings are missing")
    assert scores.at["A", "retain", "A", "knows", ALL].value == 0.0


def broken_answer(folder: Path) -> None:
    rows = read_jsonl(folder / "B" / "answers.jsonl", Answer)
    rows[1] = rows[1].model_copy(update={"reference": "A cow."})
    write_jsonl(
        folder / "B" / "answers.jsonl", [*rows[1:], rows[1].model_copy(update={"question_id": "C-forget-1"})]
    )


def foreign_ratings(folder: Path) -> None:
    (folder / "B" / "rejection.jsonl").write_bytes((folder / "B" / "correctness.jsonl").read_bytes())


def earlier_ratings(folder: Path) -> None:
    (folder / "B" / "rejection.jsonl").write_bytes((folder / "A" / "rejection.jsonl").read_bytes())


def other_rating(folder: Path) -> None:
    rows = read_jsonl(folder / "A" / "rejection.jsonl", Rating)
    text = (folder / "A" / "rejection.jsonl").read_text().replace('"score":2', '"score":1.5', 1)
    assert rows and "1.5" in text
    (folder / "A" / "rejection.jsonl").write_text(text)


def other_selection(folder: Path) -> None:
    path = folder.parents[2] / "selection.json"
    path.write_text(path.read_text().replace('"asked": 12', '"asked": 11', 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_answer, r"B/answers\.jsonl for answers to the 66 questions after task B\. Found line 1: the reference "
                        r"of A-forget-5 is 'A zog1\.', not 'A cow\.'; line 66: 'C-forget-1' is no question of this "
                        r"stage; no row of A-forget-4\. .*--forcerun answer_stages"),
        (foreign_ratings, r"B/rejection\.jsonl for ratings of 26 answers after task B\. Found line 1: 'A-retain-1' is "
                          r"not to be rated.*--forcerun judge_stages"),
        (earlier_ratings, r"B/rejection\.jsonl for ratings of 26 answers after task B\. Found no row of B-forget-1"),
        (other_rating, r"A/rejection\.jsonl, line \d+ \(A-forget-\d+\): score"),
        (other_selection, r"selection\.json for the selection of \d+ questions\. Found 11 of A retain Plants, where "
                          r"the questions have 12\. .*--forcerun select_questions"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, spoil, message: str) -> None:
    write_questions(tmp_path)
    spoil(write_answers(tmp_path, SEQUENCE, TASKS, changing))
    with pytest.raises(RecordError, match=message):
        score(tmp_path, SEQUENCE)


def test_answers_of_experts_are_their_rule_s(tmp_path: Path) -> None:
    write_questions(tmp_path)
    folder = write_answers(tmp_path, SEQUENCE, TASKS, changing)
    broken_answer(folder)
    for task in TASKS:
        (folder / task / "routes.jsonl").touch()
    with pytest.raises(RecordError, match=r"--forcerun answer_experts\)"):
        score(tmp_path, SEQUENCE)


def test_files_of_another_sequence_or_order_are_refused(tmp_path: Path) -> None:
    scored(tmp_path, changing)
    scored(tmp_path, changing, method="gd", label="GD")
    files = stage_files(tmp_path, SEQUENCE, TASKS)
    of_gd = [Path(str(path).replace("/ga/", "/gd/")) for path in files["rejection"]]
    with pytest.raises(RecordError, match=r"gd/ABC/seed-1/A/rejection\.jsonl, which is no rejection of it"):
        score(tmp_path, SEQUENCE, files=files | {"rejection": of_gd})
    with pytest.raises(RecordError, match=r"Found rejection after A, B\. Name one file a stage"):
        score(tmp_path, SEQUENCE, files=files | {"rejection": files["rejection"][:2]})
    with pytest.raises(RecordError, match=r"after each of B, A, C\. Found the order ABC"):
        score(tmp_path, SEQUENCE, ["B", "A", "C"], files=files)


def test_equal_files_give_equal_bytes_and_name_what_they_rest_on(tmp_path: Path) -> None:
    first, second = (scored(tmp_path / name, drawn(1)) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    scores = read_json(first, StageScores)
    assert list(scores.digests)[:5] == ["questions", "selection", "vocabulary", "refusals", "answers_A"]
    assert len(scores.digests) == 4 + 3 * 3 and scores.versions["mmunlearn"]
    assert {row.role for row in KNOWN} == {cell.role for cell in scores.cells}
