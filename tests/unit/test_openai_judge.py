"""The judge `openai` against a loopback endpoint: complete or named missing, never 0, never twice, never too dear."""

from __future__ import annotations

import json
import logging
import os
import random
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
from mmunlearn.evaluation.cases import Case, JudgeError
from mmunlearn.evaluation.g_eval import PROMPT, SCORE
from tests import loopback
from tests.loopback import ChatServer, Said, Step
from tests.unit.judge_fixtures import CONFIG, KEY, ROOT, cases, judge_at, number_of, options, scored

QUICK = {"retry-after-ms": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)
    monkeypatch.setattr("mmunlearn.evaluation.live_calls.HEARTBEAT", 0.05)


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


def scores(rows):
    return [row.score for row in rows]


def test_what_is_asked_is_the_paper_and_the_form_is_strict(tmp_path):
    case = Case("q", "A {goal} of braces.", "Before.", "Ideal.")
    with ChatServer(lambda body: {"score": 0.25}) as server:
        (row,) = judge_at(server, tmp_path).judge([case])
    assert (row.question_id, row.score, row.reason) == ("q", 0.25, "verdict of gpt-4o-mini")
    (request,) = server.requests
    asked = request.messages[0]["content"]
    assert asked.startswith(PROMPT.read_text().split("\n\n")[0])
    assert "Test sentence: A {goal} of braces.\nGoal sentence: Ideal.\nOriginal sentence: Before.\n" in asked
    sent = {key: request.body[key] for key in ("model", "temperature", "seed", "max_completion_tokens")}
    assert sent == {"model": "gpt-4o-mini", "temperature": 0.0, "seed": 1, "max_completion_tokens": 64}
    form = request.body["response_format"]["json_schema"]
    assert form == {"name": "verdict", "strict": True, "schema": SCORE}


def test_equal_sentences_are_asked_for_once_and_a_rerun_needs_neither_server_nor_key(tmp_path, monkeypatch):
    given = cases(5) + [Case(f"again{i}", f"test {i}", "finetuned", "goal") for i in range(5)]
    with ChatServer(scored) as server:
        first = judge_at(server, tmp_path).judge(given)
    assert len(server.requests) == 5
    assert scores(first) == [(i + 1) / 2000 for i in range(5)] * 2
    monkeypatch.delenv("TEST_KEY")
    quiet = {"timeout": 1, "concurrency": 1, "max_retries": 0, "max_calls": 0, "key_env": "OTHER_KEY"}
    assert judge_at(server, tmp_path, **quiet).judge(given) == first


@pytest.mark.parametrize(
    "changed", [{"model": "n"}, {"temperature": 1}, {"seed": 2}, {"seed": None}], ids=str
)
def test_another_judge_asks_again(tmp_path, changed):
    with ChatServer(scored) as server:
        judge_at(server, tmp_path).judge(cases(1))
        judge_at(server, tmp_path, **changed).judge(cases(1))
        judge_at(server.base_url + "/", tmp_path, temperature=0).judge(cases(1))
    assert len(server.requests) == 2


def test_other_instructions_ask_again(tmp_path, monkeypatch):
    from mmunlearn.evaluation import g_eval

    with ChatServer(scored) as server:
        judge_at(server, tmp_path).judge(cases(1))
        own = tmp_path / "own.txt"
        own.write_text(PROMPT.read_text().replace("Evaluate", "Weigh"))
        monkeypatch.setattr(g_eval, "PROMPT", own)
        g_eval.prompt_digest.cache_clear()
        judge_at(server, tmp_path).judge(cases(1))
    g_eval.prompt_digest.cache_clear()
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", ["PROMPT", "SCORE", "messages"])
def test_whatever_changes_the_request_makes_another_judge(tmp_path, monkeypatch, name):
    from mmunlearn.evaluation import g_eval

    shipped = g_eval.prompt_digest.__wrapped__
    before = shipped()
    own = tmp_path / "own.txt"
    own.write_text(PROMPT.read_text().replace("Evaluate", "Weigh"))
    changed = {
        "PROMPT": own,
        "SCORE": SCORE | {"title": "score"},
        "messages": lambda *sentences: [{"role": "user", "content": " ".join(sentences)}],
    }
    assert shipped() == before
    monkeypatch.setattr(g_eval, name, changed[name])
    assert shipped() != before


BAD = ["0.5", "[0.5]", {"score": "0.5"}, {"score": None}, {"score": True}, {}, '{"score": NaN}', '{"score": 1e999}',
       {"score": -0.01}, {"score": 1.01}, {"score": 50}, {"score": 0.5, "more": 1}, "zero", "", '{"score": 0.',
       Said('{"score": 0', "length"), Said(None, "stop", "I cannot."), Said("", "content_filter")]  # fmt: skip


@pytest.mark.parametrize("said", BAD, ids=str)
def test_a_reply_that_is_no_score_is_asked_again_once_and_then_missing(tmp_path, said):
    with ChatServer(lambda body: said if number_of(body) == 0 else scored(body)) as server:
        rows = judge_at(server, tmp_path).judge(cases(2))
        assert len(server.requests) == 3
        assert rows[0].score is None and rows[0].reason.startswith("the reply ")
        assert rows[1].score == 0.001
        server.answer = scored
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [0.0005, 0.001], "a missing one is kept"
    assert len(server.requests) == 4


@pytest.mark.parametrize("count", [{"n": 1}, 10**30, 2**53, -1, 1.5, True, "9", None], ids=str)
def test_counts_that_cannot_be_are_none_and_what_was_set_aside_stays_spent(tmp_path, monkeypatch, count):
    monkeypatch.setattr(loopback, "USAGE", {"prompt_tokens": count, "completion_tokens": 2})
    with ChatServer(scored) as server:
        judge = judge_at(server, tmp_path)
        assert scores(judge.judge(cases(3))) == [0.0005, 0.001, 0.0015]
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        rows = connection.execute("SELECT prompt_tokens, completion_tokens FROM verdicts").fetchall()
        spent = connection.execute(
            "SELECT calls, prompt_tokens, completion_tokens, cost FROM spending"
        ).fetchone()
    assert rows == [(None, 2)] * 3
    assert spent[:3] == (3, 0, 0) and spent[3] > 3 * 64 * 0.6e-6


def test_an_answer_that_is_no_completion_is_not_asked_for_again(tmp_path):
    with FaultyServer(scored, {0: [Step(body=b"{}")]}) as server:
        rows = judge_at(server, tmp_path).judge(cases(2))
    assert scores(rows) == [None, 0.001] and len(server.requests) == 2


def test_the_ends_of_the_scale_are_verdicts(tmp_path):
    with ChatServer(lambda body: {"score": number_of(body)}) as server:
        assert scores(judge_at(server, tmp_path).judge(cases(2))) == [0.0, 1.0]


def test_a_thousand_judgements_through_every_fault_are_complete_or_named_missing(tmp_path):
    passing = [Step(429, {"Retry-After": "0.02"}), Step(429, QUICK), Step(500, QUICK), Step(503, QUICK),
               Step(delay=3.0), Step(half=True), Step(close=True), Step(delay=0.02)]  # fmt: skip
    lasting = [
        Step(500, QUICK),
        Step(429, QUICK),
        Step(close=True),
        Step(half=True),
        Step(400, message="too odd"),
    ]
    garbage = [Step(body=b"<html>no</html>"), "garbage", {"score": 7}, Said('{"score": 0', "length")]
    chance = random.Random(1)
    lost = set(chance.sample(range(1000), 40))
    odd = dict(zip(sorted(lost)[::2], garbage * 10, strict=False))
    scripts, no_body = {}, {n: said for n, said in odd.items() if not isinstance(said, Step)}
    for number in range(1000):
        if number in lost and number not in no_body:
            scripts[number] = [odd.get(number) or chance.choice(lasting)] * 99
        elif number not in lost and chance.random() < 0.15:
            steps = [step for step in passing if step.delay < 0.5 or chance.random() < 0.3]
            scripts[number] = chance.sample(steps, chance.randint(1, 3))
    with FaultyServer(lambda body: no_body.get(number_of(body)) or scored(body), scripts) as server:
        rows = judge_at(server, tmp_path, concurrency=16, timeout=2.0, max_retries=6).judge(cases(1000))
        again = len(server.requests)
        server.scripts.clear()
        server.answer = scored
        healed = judge_at(server, tmp_path, concurrency=16).judge(cases(1000))
    assert [row.question_id for row in rows] == [f"q{i}" for i in range(1000)]
    assert {i for i, row in enumerate(rows) if row.score is None} == lost
    assert all(row.score == (i + 1) / 2000 for i, row in enumerate(rows) if i not in lost)
    assert all(rows[i].reason and KEY not in rows[i].reason for i in lost)
    reasons = " ".join(rows[i].reason for i in lost)
    for part in (
        "status 500",
        "status 429",
        "broken one",
        "too odd",
        "no chat completion",
        "not JSON",
        "cut off",
    ):
        assert part in reasons
    assert len(server.requests) - again == len(lost), "a rerun asks for what is missing, and for nothing else"
    assert scores(healed) == [(i + 1) / 2000 for i in range(1000)]


def test_the_wish_to_wait_is_obeyed(tmp_path):
    with ChatServer(scored, [Step(429, {"Retry-After": "1"})]) as server:
        start = time.monotonic()
        assert scores(judge_at(server, tmp_path).judge(cases(1))) == [0.0005]
        assert time.monotonic() - start >= 1 and len(server.requests) == 2


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
        judge_at(server, tmp_path, concurrency=3).judge(cases(30))
    assert most[0] == 3


JOB = """
import json, sys
from mmunlearn.evaluation.openai_judge import OpenAIJudge
from tests.unit.judge_fixtures import cases
OpenAIJudge(json.loads(sys.argv[1])).judge(cases(300))
"""


def test_killed_in_the_middle_it_repeats_at_most_what_was_in_flight(tmp_path):
    def slow(body):
        time.sleep(0.01)
        if len(server.requests) >= seen:  # the job cannot end before it is killed
            killed.wait(60)
        return scored(body)

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with ChatServer(slow) as server:
        given = options(server, tmp_path, concurrency=6)
        for seen in (60, 150):
            killed = threading.Event()
            job = subprocess.Popen([sys.executable, "-c", JOB, json.dumps(given)], cwd=ROOT, env=environment)
            while len(server.requests) < seen and job.poll() is None:
                time.sleep(0.002)
            job.send_signal(signal.SIGKILL)
            assert job.wait() == -signal.SIGKILL
            killed.set()
        seen = 10**9
        rows = judge_at(server, tmp_path, concurrency=6).judge(cases(300))
    assert scores(rows) == [(i + 1) / 2000 for i in range(300)]
    asked = Counter(number_of(request.body) for request in server.requests)
    assert len(asked) == 300 and sum(asked.values()) <= 300 + 2 * 6
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        counted = connection.execute("SELECT calls FROM spending").fetchone()[0]
    assert 0 <= counted - len(server.requests) <= 2 * 6, "what may have been called is counted"


@pytest.mark.parametrize("n", [1, 10, 11])
def test_the_budget_of_calls_is_used_up_and_never_passed(tmp_path, n):
    with ChatServer(scored, [Step(500, QUICK)] * 4) as server:
        with pytest.raises(
            JudgeError, match=r"budget spent.*are left\. Raise evaluation\.openai\.max_calls"
        ) as told:
            judge_at(server, tmp_path, max_calls=n, concurrency=4).judge(cases(30))
        assert len(server.requests) == n
        given = max(0, n - 4)
        assert f"{n} calls of {n}" in str(told.value) and f"{given} of 30 verdicts are given" in str(
            told.value
        )
        with pytest.raises(JudgeError, match="budget"):  # a rerun
            judge_at(server, tmp_path, max_calls=n).judge(cases(30))
        assert len(server.requests) == n
        assert None not in scores(judge_at(server, tmp_path, max_calls=34).judge(cases(30)))
    assert len(server.requests) == 34


def test_the_budget_in_currency_is_never_passed_and_holds_over_judges(tmp_path):
    prices = {"prompt_price": 1e4, "completion_price": 1e5}  # the loopback uses 3 and 2 tokens: 0.23 a call
    with ChatServer(scored) as server:
        judge = judge_at(server, tmp_path, concurrency=2, **prices)
        bound = 1.1 * (judge.body(cases(1)[0])["max_completion_tokens"] * 0.1 + 2000 * 0.01)
        with pytest.raises(JudgeError, match=r"evaluation\.openai\.max_cost"):
            judge_at(server, tmp_path, concurrency=2, max_cost=bound + 2.3, **prices).judge(cases(100))
        asked = len(server.requests)
        assert 10 <= asked < 100 and asked * 0.23 <= bound + 2.3
        with pytest.raises(JudgeError, match="budget"):
            judge_at(server, tmp_path, model="other", max_cost=asked * 0.23 + 1, **prices).judge(cases(1))
        assert len(server.requests) == asked


def test_a_wrong_key_stops_at_once(tmp_path, monkeypatch):
    with ChatServer(scored, [Step(401, message=f"wrong: {KEY}")] * 99) as server:
        with pytest.raises(JudgeError, match=r"status 401.*TEST_KEY.*0 of 50 verdicts") as told:
            judge_at(server, tmp_path, concurrency=4).judge(cases(50))
        assert len(server.requests) <= 4 and KEY not in str(told.value)
        monkeypatch.delenv("TEST_KEY")
        with pytest.raises(JudgeError, match=r"variable TEST_KEY.*Found nothing"):
            judge_at(server, tmp_path, max_calls=99).judge(cases(50))
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        assert connection.execute("SELECT calls FROM spending").fetchone()[0] == len(server.requests)


@pytest.mark.parametrize("n", [1, 200])
def test_an_endpoint_that_is_not_there_stops_soon(tmp_path, n):
    with pytest.raises(JudgeError, match=r"no connection.*Check that the server is up"):
        judge_at("http://127.0.0.1:9/v1", tmp_path, max_retries=1, concurrency=2).judge(cases(n))


def test_an_outage_in_the_middle_stops_and_keeps_what_was_said(tmp_path):
    with ChatServer(scored, [None] * 20 + [Step(503, QUICK)] * 999) as server:
        with pytest.raises(
            JudgeError, match=r"status 503.*20 of 200 verdicts are given and kept, 180 are left"
        ):
            judge_at(server, tmp_path, max_retries=0, concurrency=4).judge(cases(200))
        assert len(server.requests) < 60
        server.script.clear()
        asked = len(server.requests)
        judge_at(server, tmp_path).judge(cases(200))
    assert len(server.requests) - asked == 180


@pytest.mark.parametrize(("concurrency", "failures"), [(1, 10), (8, 16)])
def test_an_outage_is_as_many_failures_in_a_row_as_the_readme_says(tmp_path, concurrency, failures):
    assert CONFIG["concurrency"] == 8
    script = [Step(503, QUICK)] * (failures - 1) + [None] * 99
    with ChatServer(scored, script) as server:
        rows = judge_at(server, tmp_path, max_retries=0, concurrency=concurrency).judge(cases(40))
        assert scores(rows).count(None) == failures - 1
        server.script = [Step(503, QUICK)] * 999
        with pytest.raises(JudgeError, match="status 503"):
            judge_at(server, tmp_path, max_retries=0, concurrency=concurrency).judge(cases(99, start=40))
        assert failures <= len(server.requests) - 40 < failures + concurrency


def test_the_key_is_nowhere(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    said = []
    faults = {
        0: [Step(500, QUICK, f"key {KEY}")] * 9,
        1: [Step(body=f"<p>{KEY}".encode())] * 9,
        2: [Step(close=True)] * 9,
    }
    with FaultyServer(
        lambda body: {"score": KEY} if number_of(body) == 3 else scored(body), faults
    ) as server:
        rows = judge_at(server, tmp_path, max_retries=1).judge(cases(6))
        said += [row.model_dump_json() for row in rows]
        try:
            server.scripts = {n: [Step(401, message=KEY)] * 9 for n in range(10)}
            judge_at(server, tmp_path).judge(cases(9))
        except (JudgeError, ChatError):
            said.append(traceback.format_exc())
    assert [row.score is None for row in rows] == [True] * 4 + [False] * 2 and len(said) == 7
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY not in "".join(said) + caplog.text and KEY.encode() not in files
