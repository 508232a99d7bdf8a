"""The store of verdicts and its ledger: one writer, many readers, nothing lost by a kill, and what it has cost."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from mmunlearn.chat import Reply
from mmunlearn.evaluation.judge.ledger import Batch, Spending, Unaffordable
from mmunlearn.evaluation.judge.rubrics.g_eval import G_EVAL
from mmunlearn.evaluation.judge.store import FORM, JudgeStore, StoreError, Usage
from tests.unit.judge_fixtures import CONFIG, ROOT, cases, judge_at, options, scores, spent, texts

FREE = CONFIG | {"prompt_price": 0.0, "completion_price": 0.0}
BODY = {"max_completion_tokens": 1}


def reply(prompt: int | None = 10, completion: int | None = 2) -> Reply:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return Reply(
        text="{}", finish_reason="stop", refusal=None, model="m-2026", system_fingerprint=None, usage=usage
    )


@pytest.fixture
def store(tmp_path):
    return JudgeStore(tmp_path / "deep" / "verdicts.sqlite", wait=60)


def test_what_is_written_is_read_and_the_rest_is_not_there(store):
    assert store.read(["x"]) == {}
    assert not store.path.parent.exists(), "reading makes no file"
    many = [f"{i:04d}" for i in range(1200)]
    for judge, some in (("judge", many[:700]), ("other", many[700:])):
        with store.ledger(judge, FREE) as ledger:
            for key in some:
                ledger.reserve(BODY)
                ledger.bill(BODY, 0.0, reply(), refused=False)
                ledger.add(key, texts("a"), int(key) / 1200, reply() if key != "0000" else reply(None))
            ledger.write()
    assert store.read([*many, "x"]) == {key: int(key) / 1200 for key in many}
    usage, ledger = store.used([*many[:3], "x"])
    assert usage == Usage(verdicts=3, unmetered=1, prompt_tokens=20, completion_tokens=4)
    assert ledger == Spending(calls=1200, prompt_tokens=12000, completion_tokens=2400)


@pytest.mark.parametrize("score", [None, float("nan")])
def test_what_is_no_score_gets_nothing_in(store, score):
    def write() -> None:
        with store.ledger("judge", FREE) as ledger:
            ledger.reserve(BODY)
            ledger.add("good", texts("a"), 0.5, reply())
            ledger.add("bad", texts("a"), score, reply())
            ledger.write()

    with pytest.raises(StoreError, match="constraint"):
        write()
    assert store.read(["good", "bad"]) == {} and store.used([])[1] == Spending(), "half a transaction"


def test_it_is_a_plain_file_without_a_write_ahead_log(store):
    with store.ledger("judge", FREE) as ledger:
        ledger.add("a", texts("a"), 0.5, reply())
        ledger.write()
        assert {path.name for path in store.path.parent.iterdir()} == {
            "verdicts.sqlite",
            "verdicts.sqlite.lock",
        }
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_second_writer_waits_says_so_and_gives_up(store, caplog):
    caplog.set_level(logging.WARNING, "mmunlearn")
    with store.ledger("judge", FREE) as ledger:
        ledger.add("a", texts("a"), 0.5, reply())
        ledger.write()
        with (
            pytest.raises(StoreError, match=r"Asked to write .* Found .* Wait until the other run"),
            JudgeStore(store.path, wait=0.1).ledger("judge", FREE),
        ):
            pass
        assert store.read(["a"]) == {"a": 0.5}, "others read meanwhile"
    assert "another job writes verdicts" in caplog.text


def test_a_second_writer_goes_on_when_the_first_ends(store):
    order, waiting = [], threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            waiting.set()

    def second() -> None:
        with store.ledger("judge", FREE):
            order.append("second")

    thread, listener = threading.Thread(target=second), Listener()
    logging.getLogger("mmunlearn").addHandler(listener)
    with store.ledger("judge", FREE):
        thread.start()
        assert waiting.wait(60)
        order.append("first")
    thread.join()
    logging.getLogger("mmunlearn").removeHandler(listener)
    assert order == ["first", "second"]


JOB = """
import sys
from mmunlearn.evaluation.judge.store import JudgeStore
from tests.unit.test_judge_store import BODY, FREE, reply, texts
with JudgeStore(sys.argv[1]).ledger("judge", FREE) as ledger:
    for i in range(10**6):
        ledger.reserve(BODY)
        ledger.add(str(i), texts("a"), 0.5, reply())
        ledger.write()
        print(i, flush=True)
"""


def test_a_killed_writer_lifts_its_lock_and_loses_nothing_it_has_told(store):
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(store.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    last = [int(job.stdout.readline()) for _ in range(20)][-1]
    job.send_signal(signal.SIGKILL)
    last = max([last, *map(int, job.stdout.read().split())])
    job.wait()
    assert len(store.read(map(str, range(last + 1)))) == last + 1
    with store.ledger("judge", FREE):
        assert store.used([])[1].calls >= last + 1


@pytest.mark.parametrize("damage", ["no database at all " * 99, None])
def test_a_file_that_is_none_or_of_another_version_is_named(tmp_path, damage):
    store = JudgeStore(tmp_path / "v.sqlite")
    if damage is None:
        with store.ledger("judge", FREE):
            pass
        with sqlite3.connect(store.path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        store.path.write_text(damage)
    for action in (
        lambda: store.read(["a"]),
        lambda: store.used(["a"]),
        store.ledger("judge", FREE).__enter__,
    ):
        with pytest.raises(StoreError, match=r"Asked .*v\.sqlite.* Found .*(not a database|form 99)"):
            action()


def test_a_file_that_its_first_writer_has_just_opened_holds_nothing(tmp_path):
    store = JudgeStore(tmp_path / "v.sqlite")
    store.path.touch()
    assert store.read(["a"]) == {}
    with store.ledger("judge", FREE) as ledger:
        ledger.add("a", texts("a"), 0.5, reply())
        ledger.write()
    assert store.read(["a"]) == {"a": 0.5}


def test_batches_are_remembered_until_they_are_collected(store):
    batch = Batch("n", None, 0.25, {"k": texts("a")})
    with store.ledger("judge", FREE) as ledger:
        ledger.write(batch=batch)
        ledger.write(batch=replace(batch, id="batch_1"))
    with store.ledger("other", FREE) as ledger:
        assert ledger.batches() == []
    with store.ledger("judge", FREE) as ledger:
        assert ledger.batches() == [replace(batch, id="batch_1")]
        ledger.add("k", texts("a"), 0.5, reply())
        ledger.write(collected=batch)
        assert ledger.batches() == [] and ledger.read(["k"]) == {"k": 0.5}


def test_a_budget_counts_all_judges_and_gives_back_what_was_not_used(store):
    def dear(cost: float) -> dict:
        return {"max_completion_tokens": round(cost * 1e6)}

    priced = FREE | {"completion_price": 1.0}
    with store.ledger("other", priced) as ledger:
        for _ in range(3):
            ledger.reserve(dear(1.0))
        ledger.write()
    with store.ledger("judge", priced | {"max_calls": 5, "max_cost": 4.0}) as ledger:
        ledger.reserve(dear(0.9))
        with pytest.raises(Unaffordable, match=r"3\.9000 of 4 .* Raise evaluation\.openai\.max_cost"):
            ledger.reserve(dear(0.2))
        ledger.bill(dear(0.9), 0.9, None, refused=True)
        ledger.reserve(dear(0.2))
        with pytest.raises(Unaffordable, match=r"5 calls of 5 .* Raise evaluation\.openai\.max_calls"):
            ledger.reserve(dear(0.0))
        ledger.bill(dear(0.2), 0.2, None, refused=False)
        ledger.write()
    total = store.used([])[1]
    assert total.calls == 5 and total.cost == pytest.approx(3.2), "a broken connection may have been billed"


FORM_1 = """
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, judge TEXT NOT NULL, test TEXT NOT NULL, finetuned TEXT NOT NULL, goal TEXT NOT NULL,
    score REAL NOT NULL CHECK (score BETWEEN 0 AND 1), model TEXT NOT NULL, fingerprint TEXT,
    prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE spending (
    judge TEXT PRIMARY KEY, calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE batches (
    name TEXT PRIMARY KEY, judge TEXT NOT NULL, id TEXT, held REAL NOT NULL, cases TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_form_keeps_its_verdicts_its_ledger_and_its_batches(tmp_path):
    """Without a server: what is in it is read as it is, and made into the present form by the first writer."""
    at = "http://127.0.0.1:9/v1"
    judge = G_EVAL.identity(options(at, tmp_path))
    name, keys = json.dumps(judge, sort_keys=True), [G_EVAL.key(judge, case.texts) for case in cases(4)]
    strange = 'Peña said: "王小明" \\ 50%\n'
    held = {keys[3]: ["test 3", strange, "goal"]}
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as connection:
        connection.executescript(FORM_1)
        for i, key in enumerate(keys[:3]):
            row = (
                key,
                name,
                f"test {i}",
                strange,
                "goal",
                i / 2,
                "m-2026",
                None,
                3,
                2,
                "2026-01-01T00:00:00+00:00",
            )
            connection.execute(f"INSERT INTO verdicts VALUES ({', '.join('?' * len(row))})", row)
        connection.execute("INSERT INTO spending VALUES (?, 9, 27, 18, 0.25)", (name,))
        connection.execute(
            "INSERT INTO batches VALUES ('g-eval-1', ?, 'batch_1', 0.125, ?)", (name, json.dumps(held))
        )
    before = (tmp_path / "verdicts.sqlite").read_bytes()
    store = JudgeStore(tmp_path / "verdicts.sqlite")
    used = (Usage(3, 0, 9, 6), Spending(9, 27, 18, 0.25))
    assert scores(judge_at(at, tmp_path).judge(cases(3))) == [0.0, 0.5, 1.0] and store.used(keys) == used
    assert (tmp_path / "verdicts.sqlite").read_bytes() == before
    with store.ledger(name, FREE) as ledger:
        assert ledger.batches() == [Batch("g-eval-1", "batch_1", 0.125, {keys[3]: texts("test 3", strange)})]
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORM,)
        rows = connection.execute("SELECT key, texts, time FROM verdicts ORDER BY score").fetchall()
    assert [(key, json.loads(row), time) for key, row, time in rows] == [
        (key, texts(f"test {i}", strange), "2026-01-01T00:00:00+00:00") for i, key in enumerate(keys[:3])
    ]
    assert scores(judge_at(at, tmp_path).judge(cases(3))) == [0.0, 0.5, 1.0] and store.used(keys) == used
    assert spent(tmp_path) == (9, 27, 0.25, 1)
