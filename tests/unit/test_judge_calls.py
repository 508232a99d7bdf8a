"""The judge `openai` by calls: complete or named missing, never 0, never twice, never too dear."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter

import pytest

from mmunlearn.chat import ChatError
from mmunlearn.evaluation.judge.rubric import Case, JudgeError
from mmunlearn.interrupts import Stopped
from mmunlearn.refusals import PLAIN
from tests import loopback
from tests.loopback import ChatServer, RawReply, Step
from tests.unit.judge_fixtures import (
    CONFIG,
    COST,
    G_EVAL,
    KEY,
    ROOT,
    cases,
    judge_at,
    number_of,
    options,
    score_of,
    scored,
    scores,
    spent,
    texts,
)

QUICK = {"retry-after-ms": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)


class FaultyServer(ChatServer):
    """Meets each request with the next step of its case's script; the canned reply after that."""

    def __init__(self, answer, scripts):
        super().__init__(answer)
        self.scripts = {number: list(steps) for number, steps in scripts.items()}

    def take(self, request):
        with self._lock:
            self.requests.append(request)
            steps = self.scripts.get(number_of(request.body)) or [None]
            return (steps.pop(0) if steps else None) or Step()


def test_the_form_is_strict_and_the_settings_are_sent(tmp_path):
    with ChatServer(lambda body: {"score": 0.25}) as server:
        (row,) = judge_at(server, tmp_path).judge([Case("q", texts("Said."))])
    assert (row.question_id, row.score, row.reason) == ("q", 0.25, "verdict of gpt-4o-mini")
    (request,) = server.requests
    assert request.messages == G_EVAL.messages(texts("Said."))
    sent = {key: request.body[key] for key in ("model", "temperature", "seed", "max_completion_tokens")}
    assert sent == {"model": "gpt-4o-mini", "temperature": 0.0, "seed": 1, "max_completion_tokens": 64}
    form = request.body["response_format"]["json_schema"]
    assert form == {"name": "verdict", "strict": True, "schema": G_EVAL.reply}


def test_equal_sentences_are_asked_for_once_and_a_rerun_needs_neither_server_nor_key(tmp_path, monkeypatch):
    twice = cases(5) + [Case(f"again{i}", case.texts) for i, case in enumerate(cases(5))]
    with ChatServer(scored) as server:
        first = judge_at(server, tmp_path).judge(twice)
    assert len(server.requests) == 5
    assert scores(first) == [score_of(i) for i in range(5)] * 2
    monkeypatch.delenv("TEST_KEY")
    quiet = {"timeout": 1, "concurrency": 1, "max_retries": 0, "max_calls": 0, "key_env": "OTHER_KEY"}
    assert judge_at(server, tmp_path, **quiet).judge(twice) == first


def test_a_job_asks_for_nothing_that_another_has_asked_while_it_waited(tmp_path, caplog):
    def slow(body):
        while "another job writes verdicts" not in caplog.text:
            time.sleep(0.01)
        return scored(body)

    with ChatServer(slow) as server:
        other = threading.Thread(target=lambda: judge_at(server, tmp_path).judge(cases(5)))
        other.start()
        while not server.requests:
            time.sleep(0.01)
        assert scores(judge_at(server, tmp_path).judge(cases(6))) == [score_of(i) for i in range(6)]
        other.join()
    assert len(server.requests) == 6


def test_another_judge_asks_again(tmp_path):
    with ChatServer(scored) as server:
        for changed in ({}, {"model": "n"}, {"seed": None}, {"temperature": 0, "timeout": 9}):
            judge_at(server, tmp_path, **changed).judge(cases(1))
        judge_at(server.base_url + "/", tmp_path).judge(cases(1))
    assert len(server.requests) == 3


BAD = ["0.5", "[0.5]", {"score": "0.5"}, {"score": None}, {"score": True}, {}, '{"score": NaN}', '{"score": 1e999}',
       {"score": -0.01}, {"score": 1.01}, {"score": 50}, {"score": 0.5, "more": 1}, "zero", "", '{"score": 0.',
       RawReply('{"score": 0', "length"), RawReply(None, "stop", "No."), RawReply("", "content_filter")]  # fmt: skip


def test_a_reply_that_is_no_score_is_asked_again_once_and_then_missing(tmp_path):
    n = len(BAD)

    def answer(body):
        number = number_of(body)
        return scored(body) if number % 2 else BAD[number // 2]

    with ChatServer(answer) as server:
        rows = judge_at(server, tmp_path).judge(cases(2 * n))
        assert len(server.requests) == 3 * n
        assert all(row.score is None and row.reason.startswith("the reply ") for row in rows[::2])
        assert all(", 2 times: " in row.reason for row in rows[::2])
        assert scores(rows[1::2]) == [score_of(i) for i in range(1, 2 * n, 2)]
        server.answer = scored
        assert scores(judge_at(server, tmp_path).judge(cases(2 * n))) == [score_of(i) for i in range(2 * n)]
    assert len(server.requests) == 4 * n, "what is missing is asked for, and nothing else"


@pytest.mark.parametrize("before", [0, 3])
def test_a_model_that_gives_no_scores_is_found_by_a_plain_case_and_not_by_all(tmp_path, before):
    """Such as one that thinks before it replies, and is cut off."""
    cut = RawReply("<think>Let", "length")
    with ChatServer(
        lambda body: cut if PLAIN in str(body) or number_of(body) >= before else scored(body)
    ) as server:
        with pytest.raises(JudgeError, match=r"Found 10 cases in a row without one.*cut off.*max_tokens"):
            judge_at(server, tmp_path, concurrency=1).judge(cases(500))
        assert len(server.requests) == before + 2 * 10 + 1


def test_cases_without_a_score_are_missing_where_a_plain_one_has_its_score(tmp_path):
    """A collapsed model's answers may be beyond a judge: that is a matter of the answers."""
    with ChatServer(lambda body: {"score": 1.0} if PLAIN in str(body) else "none") as server:
        rows = judge_at(server, tmp_path, concurrency=1).judge(cases(25))
        assert [row.score for row in rows] == [None] * 25 and len(server.requests) == 2 * 25 + 2


@pytest.mark.parametrize("count", [{"n": 1}, 10**30, 2**53, -1, 1.5, True, "9", None], ids=str)
def test_counts_that_cannot_be_are_none_and_what_was_set_aside_stays_spent(tmp_path, monkeypatch, count):
    monkeypatch.setattr(loopback, "USAGE", {"prompt_tokens": count, "completion_tokens": 2})
    with ChatServer(scored) as server:
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [score_of(0), score_of(1)]
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        rows = connection.execute("SELECT prompt_tokens, completion_tokens FROM verdicts").fetchall()
    calls, tokens, cost, _ = spent(tmp_path)
    assert rows == [(None, 2)] * 2 and (calls, tokens) == (2, 0) and cost > 2 * 64 * 0.6e-6


def test_an_answer_that_is_no_completion_is_not_asked_for_again(tmp_path):
    with FaultyServer(scored, {0: [Step(body=b"{}")]}) as server:
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [None, score_of(1)]
    assert len(server.requests) == 2


def test_the_ends_of_the_scale_are_verdicts(tmp_path):
    with ChatServer(lambda body: {"score": number_of(body)}) as server:
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [0.0, 1.0]


PASSING = [Step(429, {"Retry-After": "0.02"}), Step(429, QUICK), Step(500, QUICK), Step(503, QUICK), Step(half=True),
           Step(close=True), Step(delay=0.02)]  # fmt: skip
LASTING = {
    "status 500": Step(500, QUICK), "status 429": Step(429, QUICK), "too odd": Step(400, message="too odd"),
    "no connection, or a broken one": Step(close=True), "broken one": Step(half=True), "not JSON": "garbage",
    "no chat completion": Step(body=b"<html>no</html>"), "fit": {"score": 7}, "cut off": RawReply("{", "length"),
}  # fmt: skip


def test_judgements_through_every_fault_are_complete_or_named_missing(tmp_path):
    n, every = 200, 12
    lost = {i: list(LASTING)[i // every % len(LASTING)] for i in range(0, n, every)}
    scripts = {i: [PASSING[i % 7], PASSING[(i + 1) % 7]] for i in range(1, n, 5)} | {1: [Step(delay=60.0)]}
    scripts |= {i: [LASTING[why]] * 99 for i, why in lost.items() if isinstance(LASTING[why], Step)}

    def answer(body):
        fault = LASTING.get(lost.get(number_of(body)))
        return scored(body) if fault is None or isinstance(fault, Step) else fault

    with FaultyServer(answer, scripts) as server:
        rows = judge_at(server, tmp_path, concurrency=16, timeout=1.0).judge(cases(n))
        first = len(server.requests)
        server.scripts, server.answer = {}, scored
        healed = judge_at(server, tmp_path, concurrency=16).judge(cases(n))
    assert [row.question_id for row in rows] == [f"q{i}" for i in range(n)]
    assert scores(rows) == [None if i in lost else score_of(i) for i in range(n)]
    assert all(why in rows[i].reason and KEY not in rows[i].reason for i, why in lost.items())
    assert len(server.requests) - first == len(lost), "a rerun asks for what is missing, and for nothing else"
    assert scores(healed) == [score_of(i) for i in range(n)]


def test_calls_run_at_once_but_no_more_than_allowed(tmp_path):
    running, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(3, timeout=60)

    def slow(body):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return scored(body)

    with ChatServer(slow) as server:
        judge_at(server, tmp_path, concurrency=3).judge(cases(12))
    assert most[0] == 3


JOB = """
import json, sys
from tests.unit.judge_fixtures import G_EVAL, OpenAIJudge, cases
OpenAIJudge(G_EVAL, json.loads(sys.argv[1])).judge(cases(100))
"""


def test_killed_in_the_middle_it_repeats_at_most_what_was_in_flight(tmp_path):
    def slow(body):
        if len(server.requests) >= 50:  # the job cannot end before it is killed
            killed.wait(60)
        return scored(body)

    killed, environment = threading.Event(), os.environ | {"PYTHONPATH": str(ROOT)}
    with ChatServer(slow) as server:
        arguments = [sys.executable, "-c", JOB, json.dumps(options(server, tmp_path, concurrency=6))]
        job = subprocess.Popen(arguments, cwd=ROOT, env=environment)
        while len(server.requests) < 50 and job.poll() is None:
            time.sleep(0.002)
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        killed.set()
        rows = judge_at(server, tmp_path, concurrency=6).judge(cases(100))
    assert scores(rows) == [score_of(i) for i in range(100)]
    requests = Counter(number_of(request.body) for request in server.requests)
    assert len(requests) == 100 and sum(requests.values()) <= 100 + 6
    assert 0 <= spent(tmp_path)[0] - len(server.requests) <= 6, "what may have been called is counted"


def test_told_to_stop_it_keeps_what_is_under_way_and_asks_for_the_rest_another_time(tmp_path, signals):
    reached = threading.Barrier(3, timeout=20)

    def answer(body):
        if len(server.requests) <= 3:
            if reached.wait() == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
        return scored(body)

    with ChatServer(answer) as server:
        with pytest.raises(Stopped, match="stopped by SIGTERM; what is finished is kept"):
            judge_at(server, tmp_path, concurrency=3).judge(cases(20))
        assert len(server.requests) == 3
        assert scores(judge_at(server, tmp_path, concurrency=3).judge(cases(20))) == list(
            map(score_of, range(20))
        )
        assert len(server.requests) == 20


@pytest.mark.parametrize("n", [1, 10, 11])
def test_the_budget_of_calls_is_used_up_and_never_passed(tmp_path, n):
    with ChatServer(scored, [Step(500, QUICK)] * 4) as server:
        problem = r"budget spent: {0} calls .* Raise evaluation\.openai\.max_calls, which is {0},.* {1} of 20 verdicts"
        with pytest.raises(JudgeError, match=problem.format(n, max(0, n - 4))):
            judge_at(server, tmp_path, max_calls=n, concurrency=4).judge(cases(20))
        assert len(server.requests) == n
        with pytest.raises(JudgeError, match="budget"):  # a rerun
            judge_at(server, tmp_path, max_calls=n).judge(cases(20))
        assert len(server.requests) == n
        assert None not in scores(judge_at(server, tmp_path, max_calls=24).judge(cases(20)))
    assert len(server.requests) == 24


def test_the_budget_in_currency_is_never_passed_and_holds_over_judges(tmp_path):
    prices = {"prompt_price": 1e4, "completion_price": 1e5}  # the loopback uses 3 and 2 tokens: 0.23 a call
    bound = 1.1 * (CONFIG["max_tokens"] * 0.1 + 2000 * 0.01)
    with ChatServer(scored) as server:
        with pytest.raises(JudgeError, match=r"evaluation\.openai\.max_cost"):
            judge_at(server, tmp_path, concurrency=2, max_cost=bound + 2.3, **prices).judge(cases(60))
        calls = len(server.requests)
        assert 10 <= calls < 60 and calls * 0.23 <= bound + 2.3
        with pytest.raises(JudgeError, match="budget"):
            judge_at(server, tmp_path, model="other", max_cost=calls * 0.23 + 1, **prices).judge(cases(1))
    assert len(server.requests) == calls


def test_a_wrong_key_stops_at_once(tmp_path, monkeypatch):
    with ChatServer(scored, [Step(401, message=f"wrong: {KEY}")] * 99) as server:
        with pytest.raises(JudgeError, match=r"status 401.*TEST_KEY.*0 of 50 verdicts") as caught:
            judge_at(server, tmp_path, concurrency=4).judge(cases(50))
        assert len(server.requests) <= 4 and KEY not in str(caught.value)
        monkeypatch.delenv("TEST_KEY")
        with pytest.raises(ChatError, match=r"variable TEST_KEY.*Found nothing"):
            judge_at(server, tmp_path, max_calls=99).judge(cases(50))
    assert spent(tmp_path)[0] == len(server.requests)


@pytest.mark.parametrize("n", [1, 200])
def test_an_endpoint_that_is_not_there_stops_soon(tmp_path, n):
    with pytest.raises(JudgeError, match=r"no connection.*Check that the server is up"):
        judge_at("http://127.0.0.1:9/v1", tmp_path, max_retries=1, concurrency=2).judge(cases(n))


@pytest.mark.parametrize(("concurrency", "failures"), [(1, 10), (8, 16)])
def test_an_outage_is_as_many_failures_in_a_row_as_the_readme_says(tmp_path, concurrency, failures):
    assert CONFIG["concurrency"] == 8
    quick = {"max_retries": 0, "concurrency": concurrency}
    short = [Step(503, QUICK)] * (failures - 1)
    with ChatServer(scored, [*short, *[None] * 16, *short]) as server:
        rows = judge_at(server, tmp_path, **quick).judge(cases(50))
        assert scores(rows).count(None) == 2 * len(short)
        server.requests.clear()
        server.script = [None] * 5 + [Step(503, QUICK)] * 999
        with pytest.raises(JudgeError, match=r"status 503.* 5 of 80 verdicts are given and kept, 75"):
            judge_at(server, tmp_path, **quick).judge(cases(80, start=50))
        assert failures <= len(server.requests) - 5 < failures + 2 * concurrency  # those in flight end
        server.script, server.requests = [], []
        judge_at(server, tmp_path).judge(cases(80, start=50))
    assert len(server.requests) == 75


def test_the_key_is_nowhere(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    faults = {0: [Step(500, QUICK, f"key {KEY}")] * 9, 1: [Step(body=f"<p>{KEY}".encode())] * 9,
              2: [Step(close=True)] * 9}  # fmt: skip
    odd = {3: {"score": KEY}}
    with FaultyServer(lambda body: odd.get(number_of(body)) or scored(body), faults) as server:
        rows = judge_at(server, tmp_path, max_retries=1).judge(cases(6))
        messages = [row.model_dump_json() for row in rows]
        server.scripts = {n: [Step(401, message=KEY)] * 9 for n in range(10)}
        try:
            judge_at(server, tmp_path).judge(cases(9))
        except JudgeError:
            messages.append(traceback.format_exc())
    assert [row.score is None for row in rows] == [True] * 4 + [False] * 2 and len(messages) == 7
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY not in "".join(messages) + caplog.text and KEY.encode() not in files


REFUSED = [
    (400, None), (400, "invalid_prompt"), (400, "context_length_exceeded"), (403, None), (422, None), (413, None),
    (403, "content_policy_violation"), (451, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), REFUSED)
@pytest.mark.parametrize(("refused", "concurrency"), [({2}, 8), ({0}, 1), ({5}, 1), ({0, 1, 3, 4}, 2)])
def test_a_sentence_that_is_refused_is_missing_and_the_job_goes_on(
    tmp_path, status, code, refused, concurrency
):
    step = Step(status, message="repetitive patterns", code=code)
    with FaultyServer(scored, {number: [step] for number in refused}) as server:
        rows = judge_at(server, tmp_path, concurrency=concurrency).judge(cases(6))
        assert scores(rows) == [None if i in refused else score_of(i) for i in range(6)]
        reason = f"the endpoint refuses it: status {status}: repetitive patterns"
        assert all(rows[i].reason.startswith(reason) for i in refused)
        assert len(server.requests) == 6, "no plain sentence is needed"
        calls, tokens, cost, _ = spent(tmp_path)
        assert (calls, tokens) == (6, 3 * (6 - len(refused))) and cost == pytest.approx(
            COST * (6 - len(refused))
        )
        assert None not in scores(judge_at(server, tmp_path).judge(cases(6))), "a rerun asks for them alone"
    assert len(server.requests) == 6 + len(refused)


class Picky(ChatServer):
    """Refuses what `refuses` says of a request's text."""

    def __init__(self, refuses, step):
        super().__init__(scored)
        self.refuses, self.step = refuses, step

    def take(self, request):
        super().take(request)
        return self.step if self.refuses(request.messages[-1]["content"]) else Step()


@pytest.mark.parametrize("n", [1, 6, 40])
@pytest.mark.parametrize(("status", "code"), REFUSED[:5])
def test_where_all_sentences_are_refused_a_plain_one_shows_whether_the_endpoint_refuses_all(
    tmp_path, status, code, n
):
    step = Step(status, message="odd", code=code)
    with Picky(lambda text: "Test sentence: test" in text, step) as server:
        server.answer = lambda body: {"score": 0.5}
        rows = judge_at(server, tmp_path / "own", concurrency=2).judge(cases(n))
        assert scores(rows) == [None] * n and all(f"status {status}: odd" in row.reason for row in rows)
        plain = sum(PLAIN in request.messages[-1]["content"] for request in server.requests)
        assert plain in ((3, 4) if n == 40 else (code is None,)) and len(server.requests) == n + plain
    with Picky(lambda text: True, step) as server:
        judge = judge_at(server, tmp_path / "all", concurrency=2)
        if code is None or n == 40:
            with pytest.raises(JudgeError, match=rf"status {status}: odd.*plain one '{PLAIN}', too"):
                judge.judge(cases(n))
        else:
            assert scores(judge.judge(cases(n))) == [None] * n
        assert len(server.requests) <= min(n, 12) + 1
    assert spent(tmp_path / "all")[2] == 0, "nothing is paid for what is refused"


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (Step(401), r"status 401\. Check the key in the environment variable TEST_KEY"),
        (Step(402, message="no credit"), r"status 402: no credit.*credit"),
        (Step(404, code="model_not_found"), r"status 404.*model's name"),
        (Step(400, message="no", code="unsupported_parameter", param="seed"), r"param seed.*temperature and seed"),
        (Step(400, message="no", code="billing_hard_limit_reached"), r"status 400.*limits and credit"),
        (Step(403, code="unsupported_country_region_territory"), r"status 403"),
        (Step(429, QUICK, code="insufficient_quota"), r"status 429.*insufficient_quota.*credit"),
        (Step(302, {"Location": "http://elsewhere/v1"}), r"status 302, a redirect to http://elsewhere"),
    ],
)  # fmt: skip
def test_what_concerns_the_endpoint_stops_at_once_and_keeps_what_is_given(tmp_path, step, match):
    with ChatServer(scored, [None] * 3 + [step] * 99) as server:
        with pytest.raises(JudgeError, match=rf"(?s){match}.* 3 of 50 verdicts are given and kept"):
            judge_at(server, tmp_path, concurrency=2).judge(cases(50))
        assert len(server.requests) <= 3 + 2
        assert spent(tmp_path)[2] == pytest.approx(3 * COST)


def test_refusals_in_a_row_after_verdicts_ask_a_plain_sentence(tmp_path):
    """A key that loses its rights in the middle of a job is no matter of sentences."""
    with ChatServer(scored, [None] * 5 + [Step(403, message="no rights")] * 99) as server:
        with pytest.raises(JudgeError, match=r"status 403: no rights.*plain one.* 5 of 90 verdicts"):
            judge_at(server, tmp_path, concurrency=1).judge(cases(90))
        assert len(server.requests) == 5 + 10 + 1


def test_refusals_between_verdicts_ask_no_plain_sentence(tmp_path):
    with FaultyServer(scored, {number: [Step(400)] for number in range(0, 30, 2)}) as server:
        rows = judge_at(server, tmp_path, concurrency=1).judge(cases(30))
    assert [row.score is None for row in rows] == [True, False] * 15 and len(server.requests) == 30


def test_the_plain_sentence_is_within_the_budget(tmp_path):
    with ChatServer(scored, [Step(400)] * 99) as server:
        with pytest.raises(JudgeError, match="budget spent: 3 calls"):
            judge_at(server, tmp_path, max_calls=3).judge(cases(3))
        assert len(server.requests) == 3


@pytest.mark.parametrize(("key", "sent"), [("max_tokens", {"max_tokens": 64}), (None, {})])
def test_the_longest_reply_has_the_name_that_the_server_knows(tmp_path, key, sent):
    with ChatServer(scored) as server:
        judge_at(server, tmp_path, max_tokens_key=key).judge(cases(1))
        assert {k: v for k, v in server.requests[0].body.items() if "tokens" in k} == sent
        judge_at(server, tmp_path).judge(cases(1))
        assert len(server.requests) == 1, "it changes no verdict"
        dear = {"max_tokens_key": key, "completion_price": 1e6, "max_cost": 63.0}
        with pytest.raises(JudgeError, match="max_cost"):
            judge_at(server, tmp_path, **dear).judge(cases(1, start=1))


def test_a_key_in_the_address_is_in_no_verdict_no_identity_and_no_store(tmp_path):
    hidden = "abcdef0123456789abcdef"
    with ChatServer(scored, [None, Step(500, QUICK)]) as server:
        at = f"{server.base_url}/{hidden}"
        judge = judge_at(at, tmp_path, concurrency=1, max_retries=0)
        rows = judge.judge(cases(2))
    assert [row.score is None for row in rows] == [False, True]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert hidden.encode() not in files and hidden not in str(rows) + str(judge.identity)
    assert judge.identity["base_url"].startswith(f"{server.base_url}/[key]#")
    assert judge_at(f"{at}1", tmp_path).identity != judge.identity
    assert judge_at(f"{server.base_url}/", tmp_path).identity["base_url"] == server.base_url
