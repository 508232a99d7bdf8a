"""The judge `openai` by the Batch API: submit, poll, collect, and go on after a kill."""

from __future__ import annotations

import json
import threading
import time
from contextlib import nullcontext, suppress

import pytest

from mmunlearn.chat import ChatError
from mmunlearn.evaluation.judge import batches
from mmunlearn.evaluation.judge.rubric import JudgeError
from tests.loopback import BatchServer, RawReply, Step
from tests.unit.judge_fixtures import COST, KEY, cases, judge_at, number_of, score_of, scored, scores, spent


class Killed(BaseException):
    """The end of a process, as far as a test can play it."""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def batched(server, folder, **changed):
    return judge_at(server, folder, **({"batch_api": True} | changed))


def paths(server):
    return [request.path.removeprefix("/v1/") for request in server.requests]


def sizes(server):
    """Cases of each batch, in the order of their submission."""
    return [len(lines.splitlines()) for name, lines in server.files.items() if name.startswith("file-")]


def leave_open(server, folder, monkeypatch, n):
    """A batch of n verdicts whose job is killed while it polls."""

    def die(seconds):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(batches, "sleep", die)
        with pytest.raises(Killed):
            batched(server, folder).judge(cases(n))


def test_a_batch_is_submitted_polled_and_collected_and_never_asked_again(tmp_path):
    with BatchServer(scored, polls=3) as server:
        rows = batched(server, tmp_path).judge(cases(20))
        assert scores(rows) == [score_of(i) for i in range(20)]
        assert paths(server)[:2] == ["files", "batches"] and "chat/completions" not in paths(server)
        (batch,) = server.batches.values()
        assert batch["endpoint"] == "/v1/chat/completions" and batch["looks"] == 4
        requests = len(server.requests)
        assert batched(server, tmp_path).judge(cases(20)) == rows
        assert judge_at(server, tmp_path).judge(cases(20)) == rows, "calls and batches share their verdicts"
        assert len(server.requests) == requests
        line = json.loads(server.files["file-0"].splitlines()[0])
        assert line["body"] == judge_at(server, tmp_path).body(cases(1)[0].texts) and line["method"] == "POST"


def test_a_job_killed_while_it_polls_goes_on_with_the_batch(tmp_path, monkeypatch):
    with BatchServer(scored, polls=5) as server:
        leave_open(server, tmp_path, monkeypatch, 10)
        assert scores(batched(server, tmp_path).judge(cases(12))) == [score_of(i) for i in range(12)]
    assert sizes(server) == [10, 2], "only what is new is submitted"


@pytest.mark.parametrize("step", [Step(half=True), Step(close=True)], ids=["reached", "not reached"])
def test_a_job_that_ends_before_it_hears_of_its_batch_finds_it_if_there_is_one(tmp_path, step):
    with BatchServer(scored) as server:
        server.script = [None, step]
        with pytest.raises(ChatError, match="broken"):
            batched(server, tmp_path, max_calls=8).judge(cases(8))
        assert len(server.batches) == step.half, "a second try could make a second batch"
        assert None not in scores(batched(server, tmp_path, max_calls=8).judge(cases(8)))
    assert len(server.batches) == 1 and spent(tmp_path) == (8, 24, pytest.approx(8 * COST), 0)


def test_lines_that_fail_or_never_come_are_missing_with_their_reason(tmp_path):
    def answer(body):
        odd = [
            None,
            Step(400, message=f"odd {KEY} {KEY[:9]}"),
            "no score",
            {"score": 4},
            RawReply('{"sc', "length"),
            *[None] * 3,
        ]
        return odd[number_of(body)] or scored(body)

    class Short(BatchServer):
        def create(self, body):
            self.unfinished = {json.loads(self.files["file-0"].splitlines()[0])["custom_id"]}
            return super().create(body)

    with Short(answer) as server:
        server.status = "expired"
        rows = batched(server, tmp_path).judge(cases(8))
        assert [row.score is None for row in rows] == [True] * 5 + [False] * 3
        parts = ("expired without", "status 400", "not JSON", "does not fit", "cut off")
        for row, part in zip(rows[:5], parts, strict=True):
            assert part in row.reason and KEY[:9] not in row.reason
        server.answer, server.files["file-0"] = scored, b'{"custom_id": "none"}'
        assert None not in scores(batched(server, tmp_path).judge(cases(8)))
    assert sizes(server)[1] == 5, "a rerun asks for what is missing"
    billed = 7 - 1 + 5  # answered lines, even where they are no score
    assert spent(tmp_path) == (13, 3 * billed, pytest.approx(billed * COST), 0)


def test_a_batch_that_is_refused_as_a_whole_is_an_error_and_costs_nothing(tmp_path):
    with BatchServer(scored) as server:
        server.status = "failed"
        with pytest.raises(JudgeError, match=r"refused it as a whole: no such model.* 0 of 3 verdicts"):
            batched(server, tmp_path).judge(cases(3))
        assert spent(tmp_path) == (0, 0, 0, 0)
        server.status = "completed"
        assert None not in scores(batched(server, tmp_path).judge(cases(3)))


def test_a_refused_batch_is_told_of_while_another_runs(tmp_path, monkeypatch):
    class Refusing(BatchServer):
        def create(self, body):
            batch = super().create(body)
            batch["status"] = "failed" if len(self.batches) > 1 else batch["status"]
            return batch

    with Refusing(scored, polls=10**6) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        looks = iter(range(3))
        monkeypatch.setattr(batches, "sleep", lambda seconds: next(looks))
        with pytest.raises(JudgeError, match="refused it as a whole"):
            batched(server, tmp_path).judge(cases(8))
    assert spent(tmp_path)[3] == 1, "which is left to the next job"


def test_the_budget_bounds_what_is_submitted(tmp_path):
    with BatchServer(scored) as server:
        with pytest.raises(JudgeError, match=r"Raise .*\.max_calls.* 5 of 12 .* given and kept, 7 are"):
            batched(server, tmp_path, max_calls=5).judge(cases(12))
        assert sizes(server) == [5]
        assert None not in scores(batched(server, tmp_path, max_calls=12).judge(cases(12)))
    assert sizes(server) == [5, 7]


def test_large_work_is_cut_into_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "LARGEST", 4)
    with BatchServer(scored) as server:
        assert None not in scores(batched(server, tmp_path).judge(cases(10)))
    assert sizes(server) == [4, 4, 2]


@pytest.mark.parametrize("lost", ["batches/batch_0", "files/output-batch_0/content"])
@pytest.mark.parametrize("batch_api", [True, False])
def test_a_batch_that_is_lost_is_asked_for_again(tmp_path, monkeypatch, caplog, lost, batch_api):
    with BatchServer(scored) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        held, server.lost = spent(tmp_path)[2], {lost}
        rows = batched(server, tmp_path, batch_api=batch_api).judge(cases(6))
    assert scores(rows) == [score_of(i) for i in range(6)]
    assert "batch_0. Found that the endpoint does not know it" in caplog.text
    assert len(server.batches) == 1 + batch_api
    assert spent(tmp_path) == (12, 18, pytest.approx(held + 6 * COST), 0), "what was set aside stays counted"


def test_a_batch_that_is_lost_at_once_is_no_endless_loop(tmp_path):
    with BatchServer(scored) as server:
        server.lost = {"batches/batch_0"}
        with pytest.raises(JudgeError, match=r"does not know it.* 0 of 3 verdicts"):
            batched(server, tmp_path).judge(cases(3))
        assert len(server.batches) == 1
        assert None not in scores(batched(server, tmp_path).judge(cases(3)))
    assert len(server.batches) == 2


def test_calls_after_batches_collect_what_has_ended_first(tmp_path, monkeypatch):
    with BatchServer(scored) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        assert scores(judge_at(server, tmp_path).judge(cases(8))) == [score_of(i) for i in range(8)]
    assert paths(server).count("chat/completions") == 2, "what the batch has said is not asked for again"
    assert spent(tmp_path) == (8, 24, pytest.approx(8 * COST), 0)


def test_calls_for_what_a_running_batch_asks_are_refused(tmp_path, monkeypatch):
    with BatchServer(scored, polls=10**6) as server:
        leave_open(server, tmp_path, monkeypatch, 6)
        with pytest.raises(JudgeError, match=r"6 of them in batches .* Set .*batch_api to true"):
            judge_at(server, tmp_path).judge(cases(8))
        assert "chat/completions" not in paths(server) and spent(tmp_path)[0] == 6
        assert scores(judge_at(server, tmp_path).judge(cases(2, start=6))) == [score_of(6), score_of(7)]
        server.polls = 0
        assert None not in scores(judge_at(server, tmp_path).judge(cases(8)))
    assert paths(server).count("chat/completions") == 2


@pytest.mark.parametrize("batch_api", [True, False])
def test_a_batch_that_is_refused_later_is_asked_for_again(tmp_path, monkeypatch, caplog, batch_api):
    with BatchServer(scored) as server:
        leave_open(server, tmp_path, monkeypatch, 3)
        server.batches["batch_0"]["status"] = "failed"
        assert None not in scores(batched(server, tmp_path, batch_api=batch_api).judge(cases(3)))
    assert "refused it as a whole" in caplog.text and spent(tmp_path) == (3, 9, pytest.approx(3 * COST), 0)


DAMAGE = [
    lambda key: json.dumps({"custom_id": key, "response": "said"}),
    lambda key: json.dumps({"custom_id": [key], "response": {"status_code": 200}}),
    lambda key: json.dumps({"custom_id": {}, "response": {}}),
    lambda key: json.dumps([key]),
    lambda key: "{",
    lambda key: f'{{"custom_id": "{key}", "response": {"[" * 100_000}',
]


def test_a_damaged_line_costs_its_verdict_and_no_other(tmp_path, caplog):
    class Damaging(BatchServer):
        def results(self, batch, failed):
            lines = super().results(batch, failed)
            keys = [json.loads(line)["custom_id"] for line in lines]
            for i, damaged in enumerate(DAMAGE if len(lines) == 8 else []):
                lines[i] = damaged(keys[i]).encode()
            return lines

    with Damaging(scored) as server:
        rows = batched(server, tmp_path).judge(cases(8))
        assert [row.score is None for row in rows] == [True] * 6 + [False] * 2
        assert all("completed without this reply" in row.reason for row in rows[:6])
        assert None not in scores(batched(server, tmp_path).judge(cases(8)))
    assert "is damaged" in caplog.text


def test_a_reply_may_hold_any_end_of_line(tmp_path):
    class Plain(BatchServer):
        def results(self, batch, failed):
            lines = super().results(batch, failed)
            return [json.dumps(json.loads(line), ensure_ascii=False).encode() + b"\r" for line in lines]

    def answer(body):
        return f'{{"score":\u2028 {number_of(body)}}}' if number_of(body) else scored(body)

    with Plain(answer) as server:
        rows = batched(server, tmp_path).judge(cases(2))
    assert rows[0].score == score_of(0) and "not JSON" in rows[1].reason


def test_others_read_while_a_batch_is_waited_for(tmp_path):
    with BatchServer(scored, polls=10**6) as server:
        judge_at(server, tmp_path).judge(cases(2))
        thread = threading.Thread(target=lambda: batched(server, tmp_path).judge(cases(4)), daemon=True)
        thread.start()
        while not server.batches and thread.is_alive():
            time.sleep(0.01)
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [score_of(0), score_of(1)]
        server.polls = 0
        thread.join(timeout=60)
        assert not thread.is_alive()


def refusing(numbers, step):
    return lambda body: step if number_of(body) in numbers else scored(body)


@pytest.mark.parametrize(("status", "code"), [(400, None), (400, "invalid_prompt"), (403, None), (422, None)])
def test_a_refused_line_is_that_sentences_missing_value(tmp_path, status, code):
    with BatchServer(refusing({0, 3}, Step(status, message="odd", code=code))) as server:
        rows = batched(server, tmp_path).judge(cases(5))
    assert [row.score is None for row in rows] == [True, False, False, True, False]
    assert rows[0].reason.startswith(f"the endpoint refuses it: status {status} in the batch: odd")
    assert "chat/completions" not in paths(server) and spent(tmp_path)[2] == pytest.approx(3 * COST)


@pytest.mark.parametrize("everything", [True, False])
def test_where_all_lines_are_refused_a_plain_sentence_is_called(tmp_path, everything):
    def answer(body):
        own = "Test sentence: test" in body["messages"][-1]["content"]
        return Step(400, message="no json_schema") if own else {"score": 0.5}

    with BatchServer(answer) as server:
        server.script = [None] * 5 + [Step(400, message="no json_schema")] * everything
        server.polls = 1
        judge = batched(server, tmp_path)
        if everything:
            with pytest.raises(JudgeError, match=r"no json_schema.*plain one.* 0 of 4 verdicts"):
                judge.judge(cases(4))
        else:
            assert scores(judge.judge(cases(4))) == [None] * 4
    assert paths(server).count("chat/completions") == 1


@pytest.mark.parametrize(
    "step", [Step(401), Step(404, code="model_not_found"), Step(429, message="no", code="insufficient_quota")]
)
def test_a_line_that_concerns_the_endpoint_stops_the_job_and_keeps_the_others(tmp_path, step):
    with BatchServer(refusing({1}, step)) as server:
        with pytest.raises(
            JudgeError, match=rf"status {step.status} in the batch.* 3 of 4 verdicts are given"
        ):
            batched(server, tmp_path).judge(cases(4))
        server.answer = scored
        assert None not in scores(batched(server, tmp_path).judge(cases(4)))
    assert sizes(server) == [4, 1]


def bound(server, folder):
    """The most that one of the cases 0 to 9 can cost."""
    judge = judge_at(server, folder)
    with judge.store.ledger("none", judge.options) as ledger:
        return ledger.bound(judge.body(cases(1)[0].texts))


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "failed"])
@pytest.mark.parametrize(
    ("withheld", "wrong", "counts", "given", "lost"),
    [
        # nothing is told: what a completed batch has said is billed, what others have is known by their count alone
        ({"output", "error"}, set(), None, 0, 4),
        ({"output", "error"}, set(), 3, 0, 4),
        ({"output", "error"}, set(), 0, 0, 0),
        # all lines have failed: the error file alone tells so, and they cost nothing
        ({"output"}, {0, 1, 2, 3}, 0, 0, 0),
        ({"output"}, {0, 1, 2, 3}, None, 0, 0),
        # some have: the output file is told of, or lost
        (set(), {1}, 3, 3, 0),
        ({"output"}, {1}, 3, 0, 3),
        ({"error"}, {1}, 3, 3, 0),
    ],
)
def test_the_ledger_holds_what_an_ended_batch_has_cost(
    tmp_path, status, withheld, wrong, counts, given, lost
):
    class Ending(BatchServer):
        def _look(self, batch):
            super()._look(batch)
            if batch["status"] == "completed":
                batch["status"] = status
            return batch

    with Ending(refusing(wrong, Step(500, message="inner"))) as server:
        server.withheld, server.counts = withheld, None if counts is None else {"completed": counts}
        with nullcontext() if given else suppress(JudgeError):
            rows = batched(server, tmp_path).judge(cases(4))
            assert sum(row.score is not None for row in rows) == given
        refused = status == "failed" and withheld == {"output", "error"} and not counts
        most = bound(server, tmp_path)
        calls, _, cost, _ = spent(tmp_path)
    assert calls == (0 if refused else 4), "only what is refused as a whole was never called"
    assert cost == pytest.approx(given * COST + (0 if refused else lost) * most, abs=1e-9)


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ([Step(400, message="bad file")], 0),
        ([Step(413)], 0),
        ([Step(close=True)], 0),
        ([Step(body=b"<html>")], 0),
        ([None, Step(400, message="token limit reached")], 0),
        ([None, Step(429, code="insufficient_quota")], 0),
        ([None, Step(close=True)], 3),
        ([None, Step(body=b"<html>")], 3),
        ([None, Step(body=b'{"id": null}')], 3),
    ],
)
def test_a_batch_that_is_not_taken_gives_its_calls_back_unless_it_may_have_been(tmp_path, script, calls):
    with BatchServer(scored) as server:
        server.script = script
        with pytest.raises(ChatError):
            batched(server, tmp_path, max_retries=0).judge(cases(3))
        assert spent(tmp_path)[0] == calls and bool(spent(tmp_path)[2]) == bool(calls)
        assert None not in scores(batched(server, tmp_path, max_calls=3).judge(cases(3)))
    assert spent(tmp_path) == (3, 9, pytest.approx(3 * COST), 0)


@pytest.mark.parametrize("status", ["lost", None, 7])
def test_a_batch_in_no_known_state_is_not_waited_for(tmp_path, status):
    class Odd(BatchServer):
        def _look(self, batch):
            return batch | {"status": status}

    with Odd(scored) as server:
        with pytest.raises(ChatError, match=f"its status is '{str(status).lower()}'"):
            batched(server, tmp_path).judge(cases(3))
        assert spent(tmp_path)[0] == 3 and spent(tmp_path)[3] == 1, "the next job looks again"


def test_a_batch_is_found_on_any_page_of_the_list(tmp_path):
    class Paging(BatchServer):
        def other(self, request):
            route, _, query = request.path.partition("?")
            if route != "/v1/batches" or request.body:
                return super().other(request)
            rows = list(self.batches.values())
            start = int(query.partition("after=batch_")[2].partition("&")[0] or -1) + 1
            return {"object": "list", "data": rows[start : start + 1], "has_more": start + 1 < len(rows)}

    with Paging(scored) as server:
        for _ in range(4):
            server.create({"metadata": [{"mmunlearn": "another"}, "none", None, 7][len(server.batches)]})
        server.script = [None, Step(half=True)]
        with pytest.raises(ChatError, match="broken"):
            batched(server, tmp_path).judge(cases(2))
        assert None not in scores(batched(server, tmp_path).judge(cases(2)))
    assert len(server.batches) == 5


def test_the_file_of_a_batch_may_be_as_large_as_its_verdicts_and_no_larger(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "LINE", 1000)
    monkeypatch.setattr("mmunlearn.connection.LARGEST", 2000)

    def answer(body):
        return {"score": score_of(number_of(body))} if server.small else "x" * 3000

    with BatchServer(answer) as server:
        server.small = True
        assert None not in scores(batched(server, tmp_path).judge(cases(10)))
        server.small = False
        with pytest.raises(ChatError, match="an answer of more than 12,000 bytes"):
            batched(server, tmp_path).judge(cases(10, start=10))
