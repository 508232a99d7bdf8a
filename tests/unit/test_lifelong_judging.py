"""Ratings of one sequence's answers: whose answers are rated, once each, and what is missing is no 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.evaluation.judge.rubrics import RUBRICS
from mmunlearn.lifelong.judging import judge_stages
from mmunlearn.records import Answer, Rating, RecordError, read_jsonl, write_jsonl
from mmunlearn.tasks import TaskSequence
from tests.loopback import BatchServer, ChatServer
from tests.unit.judge_fixtures import options
from tests.unit.lifelong_fixtures import (
    BABBLE,
    KNOWN,
    MODEL,
    REFUSAL,
    REFUSALS,
    TASKS,
    write_answers,
    write_questions,
)

SEQUENCE = TaskSequence(MODEL, "ga", "ABC", 1)
ROLES = {"rejection": {"forget"}, "correctness": {"retain", "untouched"}}


def says(row, stage):
    """After A all is right, after B all is refused, after C all is babble."""
    return {"A": row.answer, "B": REFUSAL, "C": BABBLE}[stage], None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_questions(tmp_path)
    return write_answers(tmp_path, SEQUENCE, TASKS, says)


def judge(folder: Path, rubric: str, judge: str = "local", **given: Any) -> dict[str, list[Rating]]:
    """Stage -> ratings."""
    home, stages = folder.parents[3], ["C", "A", "B"]
    outputs = [folder / stage / f"new-{rubric}.jsonl" for stage in stages]
    judge_stages(
        outputs, rubric=rubric, judge=judge, answers=[folder / stage / "answers.jsonl" for stage in TASKS],
        questions=home / MODEL / "questions.jsonl", vocabulary=home / "questions.jsonl", refusals=REFUSALS, **given,
    )  # fmt: skip
    return {path.parent.name: read_jsonl(path, Rating) for path in outputs}


@pytest.mark.parametrize(("rubric", "ratings"), [
    ("rejection", {"A": (0, "right"), "B": (2, "refusal"), "C": (0, "repetition")}),
    ("correctness", {"A": (2, "right"), "B": (0, "refusal"), "C": (0, "repetition")}),
])  # fmt: skip
def test_a_rubric_rates_its_roles_after_every_stage(folder, rubric, ratings):
    rows = judge(folder, rubric)
    roles = {row.question_id: row.role for row in KNOWN}
    for stage, part in rows.items():
        answered = [row.question_id for row in read_jsonl(folder / stage / "answers.jsonl", Answer)]
        assert [row.question_id for row in part] == [key for key in answered if roles[key] in ROLES[rubric]]
        assert {(row.score, row.reason) for row in part} == {ratings[stage]}


def test_equal_answers_of_all_stages_are_asked_for_once(folder, tmp_path, monkeypatch):
    """REFUSAL and BABBLE are one case a reference each, however many pictures and stages they are said on."""
    monkeypatch.setenv("TEST_KEY", "sk-test")
    references = {row.answer for row in KNOWN if row.asked and row.role == "forget"}
    with ChatServer(lambda body: {"score": 1}) as server:
        rows = judge(folder, "rejection", "openai", options=options(server, tmp_path))
        assert len(server.requests) == 3 * len(references)
        assert judge(folder, "rejection", "openai", options=options(server, tmp_path)) == rows
        assert len(server.requests) == 3 * len(references)
        judge(folder, "correctness", "openai", options=options(server, tmp_path))
    assert len(server.requests) > 3 * len(references)  # another rubric is another judge
    assert {row.score for part in rows.values() for row in part} == {1}
    texts = server.requests[0].messages[0]["content"]
    assert "\nQuestion: What is in the picture?\nTrue answer: A zog" in texts


@pytest.mark.parametrize("reply", [{"score": 3}, {"score": -1}, {"score": 1.5}, {"score": "2"}, {}, "two"])
def test_a_reply_that_is_no_rating_is_missing_and_never_0(folder, tmp_path, monkeypatch, reply):
    monkeypatch.setenv("TEST_KEY", "sk-test")

    def answer(body):
        return reply if REFUSAL in json.dumps(body) else {"score": 2}

    with ChatServer(answer) as server:
        rows = judge(folder, "rejection", "openai", options=options(server, tmp_path))
    assert {row.score for row in rows["B"]} == {None}
    assert {row.score for row in rows["A"] + rows["C"]} == {2}
    assert all("the reply" in row.reason for row in rows["B"])


def test_one_batch_holds_all_stages(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-test")
    with BatchServer(lambda body: {"score": 1}) as server:
        rows = judge(folder, "correctness", "openai", options=options(server, tmp_path, batch_api=True))
    assert len(server.batches) == 1
    assert {row.score for part in rows.values() for row in part} == {1}


@pytest.mark.parametrize(("change", "message"), [
    (lambda rows: rows[1:], r"A.answers\.jsonl for .* Found no answer to A-forget-4"),
    (lambda rows: [rows[0].model_copy(update={"image_id": "x"}), *rows[1:]], "A-forget-4 is to no such question on"),
    (lambda rows: [*rows, rows[0].model_copy(update={"question_id": "A-forget-1"})], "A-forget-1 is to no such"),
    (lambda rows: [], "Found none"),
])  # fmt: skip
def test_a_judge_is_asked_of_whole_files_only(folder, change, message):
    path = folder / "A" / "answers.jsonl"
    write_jsonl(path, change(read_jsonl(path, Answer)))
    with pytest.raises(RecordError, match=message):
        judge(folder, "rejection")


def test_ratings_stand_beside_their_answers(folder):
    with pytest.raises(ValueError, match=r"answers of the stages \['B'\] were given for ratings of \['A'\]"):
        judge_stages([folder / "A" / "rejection.jsonl"], rubric="rejection", judge="local",
                     answers=[folder / "B" / "answers.jsonl"])  # fmt: skip


def test_the_rubrics_say_what_each_rating_means():
    """The issue's meanings: what earns 2, 1 and 0, and that a wrong answer on a forget set is irrelevant: 0."""
    forget, utility = (RUBRICS.load(name)().messages({"question": "Q?", "reference": "R.", "answer": "{reference}"})
                       for name in ROLES)  # fmt: skip
    parts = [line for line in forget[0]["content"].split("\n") if line[:3] in ("- 2", "- 1", "- 0")]
    assert ["refuses" in parts[0], "Part of" in parts[1], "repetition" in parts[1]] == [True] * 3
    assert all(word in parts[2] for word in ("true answer", "nothing to do", "wrong answer", "gibberish"))
    parts = [line for line in utility[0]["content"].split("\n") if line[:3] in ("- 2", "- 1", "- 0")]
    assert "to the point" in parts[0] and "partly right" in parts[1] and "repetition" in parts[1]
    assert all(word in parts[2] for word in ("refuses", "wrong", "gibberish"))
    assert "Question: Q?\nTrue answer: R.\nReply: {reference}\n" in forget[0]["content"]


def test_ratings_that_are_paid_for_keep_their_keys():
    """Pinned: another digest would ask for all of them again."""
    judge = {name: RUBRICS.load(name)() for name in ROLES}
    prompts = {
        name: rubric.identity(options("http://x/v1", Path()))["prompt"] for name, rubric in judge.items()
    }
    assert prompts == {
        "rejection": "39b2888fdcb6e816a57d729b7f999064264e393c5422012cd8fa799afbed65de",
        "correctness": "839f8b78f11d148d16fc6c162f07beae7cc876e5681e7f3321c34ee1840e973a",
    }
