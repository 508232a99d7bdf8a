"""Verdicts by the Batch API of a loopback endpoint: submit, poll, collect, and go on after a kill."""

from __future__ import annotations

import json
import sqlite3
import threading
import time

import pytest

from mmunlearn.chat import ChatError
from mmunlearn.evaluation import batch_api
from mmunlearn.evaluation.cases import JudgeError
from tests.loopback import BatchServer, Said, Step
from tests.unit.judge_fixtures import KEY, cases, judge_at, number_of, scored


class Killed(BaseException):
    """The end of a process, as far as a test can play it."""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def batched(server, folder, **changed):
    return judge_at(server, folder, **({"batch_api": True} | changed))


def scores(rows):
    return [row.score for row in rows]


def paths(server):
    return [request.path.removeprefix("/v1/") for request in server.requests]


def die(*args):
    raise Killed


def test_a_batch_is_submitted_polled_and_collected_and_never_asked_again(tmp_path):
    given = cases(20)
    with BatchServer(scored, polls=3) as server:
        rows = batched(server, tmp_path).judge(given)
        assert scores(rows) == [(i + 1) / 2000 for i in range(20)]
        assert paths(server)[:2] == ["files", "batches"] and "chat/completions" not in paths(server)
        (batch,) = server.batches.values()
        assert (batch["endpoint"], batch["completion_window"], batch["looks"]) == (
            "/v1/chat/completions",
            "24h",
            4,
        )
        asked = len(server.requests)
        assert batched(server, tmp_path).judge(given) == rows
        assert judge_at(server, tmp_path).judge(given) == rows, "calls and batches share their verdicts"
        assert len(server.requests) == asked
    line = json.loads(server.files["file-0"].splitlines()[0])
    assert line["body"] == judge_at(server, tmp_path).body(given[0]) and line["method"] == "POST"


def test_a_job_killed_while_it_polls_goes_on_with_the_batch(tmp_path, monkeypatch):
    with BatchServer(scored, polls=5) as server:
        with monkeypatch.context() as patch:
            patch.setattr(batch_api, "sleep", die)
            with pytest.raises(Killed):
                batched(server, tmp_path).judge(cases(10))
        rows = batched(server, tmp_path).judge(cases(12))
        assert scores(rows) == [(i + 1) / 2000 for i in range(12)]
    sizes = sorted(
        len(lines.splitlines()) for name, lines in server.files.items() if name.startswith("file-")
    )
    assert sizes == [2, 10], "only what is new is submitted"


@pytest.mark.parametrize("reached", [True, False])
def test_a_job_killed_while_it_submits_finds_its_batch_if_there_is_one(tmp_path, monkeypatch, reached):
    """Between writing the batch down and hearing its id."""
    keep = batch_api._Batches._keep

    def keep_or_die(self, verdicts=None, **batches):
        if batches["batch"].id is not None:
            raise Killed
        keep(self, verdicts, **batches)

    with BatchServer(scored) as server:
        judge = batched(server, tmp_path, max_calls=8)
        with monkeypatch.context() as patch:
            patch.setattr(batch_api._Batches, "_keep", keep_or_die)
            if not reached:
                patch.setattr(server, "_create", lambda body: {"id": "gone", "object": "batch"})
            with pytest.raises(Killed):
                judge.judge(cases(8))
        assert len(server.batches) == reached
        assert None not in scores(batched(server, tmp_path, max_calls=8).judge(cases(8)))
        assert len(server.batches) == 1


def test_lines_that_fail_or_never_come_are_missing_with_their_reason(tmp_path):
    def answer(body):
        odd = {1: Step(400, message=f"odd {KEY}"), 2: "no score", 3: {"score": 4}, 4: Said('{"sc', "length")}
        return odd.get(number_of(body)) or scored(body)

    with BatchServer(answer) as server:
        judge = batched(server, tmp_path)
        server.status = "expired"
        create = server._create

        def create_short(body):
            server.unfinished = {json.loads(server.files["file-0"].splitlines()[0])["custom_id"]}
            return create(body)

        server._create = create_short
        rows = judge.judge(cases(8))
        assert [row.score is None for row in rows] == [True] * 5 + [False] * 3
        parts = ("expired without", "status 400", "not JSON", "does not fit", "cut off")
        for row, part in zip(rows[:5], parts, strict=True):
            assert part in row.reason and KEY not in row.reason
        server.answer, server._create, server.unfinished = scored, create, set()
        assert None not in scores(batched(server, tmp_path).judge(cases(8)))
    assert len(server.files["file-1"].splitlines()) == 5, "a rerun asks for what is missing"
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        spent = connection.execute("SELECT calls, prompt_tokens, cost FROM spending").fetchone()
    used = 7 - 1 + 5  # answered lines, billed even where they are no score
    assert spent[:2] == (13, 3 * used) and spent[2] == pytest.approx(used * (3 * 0.15 + 2 * 0.6) / 1e6)


def test_a_batch_that_is_refused_as_a_whole_is_an_error_and_costs_nothing(tmp_path):
    with BatchServer(scored) as server:
        server.status = "failed"
        with pytest.raises(JudgeError, match=r"refused it as a whole: no such model"):
            batched(server, tmp_path).judge(cases(3))
        server.status = "completed"
        assert None not in scores(batched(server, tmp_path).judge(cases(3)))


def test_the_budget_bounds_what_is_submitted(tmp_path):
    with BatchServer(scored) as server:
        with pytest.raises(
            JudgeError, match=r"5 of them are given .* 7 are left\. Raise evaluation\.openai\.max_calls"
        ):
            batched(server, tmp_path, max_calls=5).judge(cases(12))
        assert len(server.files["file-0"].splitlines()) == 5 and len(server.batches) == 1
        assert None not in scores(batched(server, tmp_path, max_calls=12).judge(cases(12)))
    assert len(server.files["file-1"].splitlines()) == 7


def test_large_work_is_cut_into_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_api, "LARGEST", 4)
    with BatchServer(scored) as server:
        assert None not in scores(batched(server, tmp_path).judge(cases(10)))
    assert [len(lines.splitlines()) for name, lines in server.files.items() if name.startswith("file-")] == [
        4,
        4,
        2,
    ]


def leave_open(server, folder, monkeypatch, n, **changed):
    """A batch of n verdicts whose job is killed while it polls."""
    with monkeypatch.context() as patch:
        patch.setattr(batch_api, "sleep", die)
        with pytest.raises(Killed):
            batched(server, folder, **changed).judge(cases(n))


def ledger(folder):
    with sqlite3.connect(folder / "verdicts.sqlite") as connection:
        (row,) = connection.execute("SELECT calls, cost, (SELECT count(*) FROM batches) FROM spending")
    return row


@pytest.mark.parametrize("gone", ["batch", "file"])
@pytest.mark.parametrize("mode", [True, False])
def test_a_batch_that_the_endpoint_has_forgotten_is_asked_for_again(
    tmp_path, monkeypatch, caplog, gone, mode
):
    with BatchServer(scored) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        held = ledger(tmp_path)[1]
        if gone == "batch":
            server.lost = {"batches/batch_0"}
        else:
            server.lost = {"files/output-batch_0/content"}
        rows = batched(server, tmp_path, batch_api=mode).judge(cases(6))
    assert scores(rows) == [(i + 1) / 2000 for i in range(6)]
    assert "does not know the batch batch_0" in caplog.text
    calls, cost, left = ledger(tmp_path)
    assert (calls, left) == (12, 0), "what was set aside for the first stays counted"
    assert cost == pytest.approx(held + 6 * (3 * 0.15 + 2 * 0.6) / 1e6)
    assert len(server.batches) == 1 + mode


def test_a_batch_that_is_forgotten_at_once_is_no_endless_loop(tmp_path):
    with BatchServer(scored) as server:
        server.lost = {"batches/batch_0"}
        with pytest.raises(ChatError, match="status 404"):
            batched(server, tmp_path).judge(cases(3))
        assert len(server.batches) == 1
        assert None not in scores(batched(server, tmp_path).judge(cases(3)))
    assert len(server.batches) == 2


def test_calls_after_batches_collect_what_has_ended_first(tmp_path, monkeypatch):
    with BatchServer(scored) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        rows = judge_at(server, tmp_path).judge(cases(8))
    assert scores(rows) == [(i + 1) / 2000 for i in range(8)]
    assert paths(server).count("chat/completions") == 2, "what the batch has said is not asked for again"
    calls, cost, left = ledger(tmp_path)
    assert (calls, left) == (8, 0) and cost == pytest.approx(8 * (3 * 0.15 + 2 * 0.6) / 1e6)


def test_calls_for_what_a_running_batch_asks_are_refused(tmp_path, monkeypatch):
    with BatchServer(scored, polls=10**6) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        with pytest.raises(
            JudgeError, match=r"6 of them in a batch .* \(batch_0\)\. Set .*batch_api to true"
        ):
            judge_at(server, tmp_path).judge(cases(8))
        assert "chat/completions" not in paths(server) and ledger(tmp_path)[0] == 6
        assert scores(judge_at(server, tmp_path).judge(cases(2, start=6))) == [7 / 2000, 8 / 2000]
        server.polls = 0
        assert None not in scores(judge_at(server, tmp_path).judge(cases(8)))
    assert paths(server).count("chat/completions") == 2


def test_calls_take_the_place_of_a_batch_that_was_refused(tmp_path, monkeypatch):
    with BatchServer(scored) as server:
        server.status = "failed"
        leave_open(server, tmp_path, monkeypatch, 3)
        assert None not in scores(judge_at(server, tmp_path).judge(cases(3)))
    assert ledger(tmp_path)[::2] == (6, 0)


def test_a_damaged_line_costs_its_verdict_and_no_other(tmp_path, caplog):
    deep = "[" * 100_000
    damage = [
        lambda key: json.dumps({"custom_id": key, "response": "said"}),
        lambda key: json.dumps({"custom_id": [key], "response": {"status_code": 200}}),
        lambda key: json.dumps({"custom_id": {}, "response": {}}),
        lambda key: json.dumps([key]),
        lambda key: "{",
        lambda key: f'{{"custom_id": "{key}", "response": {deep}',
    ]

    class Damaging(BatchServer):
        def _results(self, batch, failed):
            lines = super()._results(batch, failed)
            keys = [json.loads(line)["custom_id"] for line in lines]
            for i, damaged in enumerate(damage if len(lines) == 8 else []):
                lines[i] = damaged(keys[i]).encode()
            return lines

    with Damaging(scored) as server:
        rows = batched(server, tmp_path).judge(cases(8))
        assert [row.score is None for row in rows] == [True] * 6 + [False] * 2
        assert all("completed without this reply" in row.reason for row in rows[:6])
        assert None not in scores(batched(server, tmp_path).judge(cases(8)))
    assert caplog.text.count("is damaged") == 6


def test_a_reply_may_hold_any_end_of_line(tmp_path):
    class Plain(BatchServer):
        def _results(self, batch, failed):
            lines = super()._results(batch, failed)
            return [json.dumps(json.loads(line), ensure_ascii=False).encode() + b"\r" for line in lines]

    with Plain(
        lambda body: f'{{"score":\u2028 {number_of(body)}}}' if number_of(body) else scored(body)
    ) as server:
        rows = batched(server, tmp_path).judge(cases(2))
    assert scores(rows)[0] == 0.0005 and "not JSON" in rows[1].reason


def test_others_read_while_a_batch_is_waited_for(tmp_path):
    with BatchServer(scored, polls=10**6) as server:
        judge_at(server, tmp_path).judge(cases(2))
        thread = threading.Thread(target=lambda: batched(server, tmp_path).judge(cases(4)), daemon=True)
        thread.start()
        while not server.batches and thread.is_alive():
            time.sleep(0.01)
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [0.0005, 0.001]
        server.polls = 0
        thread.join(timeout=60)
        assert not thread.is_alive()
