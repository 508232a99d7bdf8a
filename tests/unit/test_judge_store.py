"""The store of verdicts and its ledger: one writer, many readers, nothing lost by a kill, and what it has cost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from mmunlearn.chat import Reply
from mmunlearn.evaluation.judge.ledger import Batch, Spending, Unaffordable
from mmunlearn.evaluation.judge.store import FORM, JudgeStore, StoreError, Usage
from tests.unit.judge_fixtures import CONFIG, G_EVAL, ROOT, cases, judge_at, options, scores, texts

FREE = CONFIG | {"prompt_price": 0.0, "completion_price": 0.0}
BODY = {"max_completion_tokens": 1}


def reply(prompt: int | None = 10) -> Reply:
    usage = {"prompt_tokens": prompt, "completion_tokens": 2}
    return Reply(text="", finish_reason="stop", refusal=None, model="m", system_fingerprint=None, usage=usage)


@pytest.fixture
def store(tmp_path):
    return JudgeStore(tmp_path / "deep" / "verdicts.sqlite", wait=60)


def write(store, scores, judge="judge"):
    with store.ledger(judge, FREE) as ledger:
        for key, score in scores.items():
            ledger.reserve(BODY)
            ledger.bill(BODY, 0.0, reply(), refused=False)
            ledger.add(key, texts("a"), score, reply(None if key == "0000" else 10))
        ledger.write()


def test_what_is_written_is_read_and_the_rest_is_not_there(store):
    assert store.read(["x"]) == {}
    assert not store.path.parent.exists(), "reading makes no file"
    some, more = ({f"{i:04d}": i / 1200 for i in numbers} for numbers in (range(700), range(700, 1200)))
    write(store, some)
    write(store, more, "other")
    assert store.read([*some, *more, "x"]) == some | more
    usage, ledger = store.used([*list(some)[:3], "x"])
    assert usage == Usage(verdicts=3, unmetered=1, prompt_tokens=20, completion_tokens=4)
    assert ledger == Spending(calls=1200, prompt_tokens=12000, completion_tokens=2400)


@pytest.mark.parametrize("score", [None, float("nan")])
def test_what_is_no_score_gets_nothing_in(store, score):
    with pytest.raises(StoreError, match="constraint"):
        write(store, {"good": 0.5, "bad": score})
    assert store.read(["good", "bad"]) == {} and store.used([])[1] == Spending(), "half a transaction"


def test_it_is_a_plain_file_without_a_write_ahead_log(store):
    with store.ledger("judge", FREE) as ledger:
        ledger.write()
        names = {path.name for path in store.path.parent.iterdir()}
    assert names == {"verdicts.sqlite", "verdicts.sqlite.lock"}
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_second_writer_waits_says_so_and_gives_up(store, caplog):
    write(store, {"a": 0.5})
    hasty = JudgeStore(store.path, wait=0.1)
    with store.ledger("judge", FREE):
        with pytest.raises(StoreError, match=r"Asked to write .* Found .* Wait until the other run"):
            write(hasty, {})
        assert store.read(["a"]) == {"a": 0.5}, "others read meanwhile"
    assert "another job writes verdicts" in caplog.text


def test_a_second_writer_goes_on_when_the_first_ends(store, caplog):
    order = []

    def second() -> None:
        with store.ledger("judge", FREE):
            order.append("second")

    thread = threading.Thread(target=second)
    with store.ledger("judge", FREE):
        thread.start()
        while "another job writes verdicts" not in caplog.text:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


JOB = """
import sys
from mmunlearn.evaluation.judge.store import JudgeStore
from tests.unit.test_judge_store import write
for i in range(10**6):
    write(JudgeStore(sys.argv[1]), {str(i): 0.5})
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
        write(store, {})
        with sqlite3.connect(store.path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        store.path.write_text(damage)
    for action in (lambda: store.read(["a"]), lambda: store.used(["a"]), lambda: write(store, {})):
        with pytest.raises(StoreError, match=r"Asked .*v\.sqlite.* Found .*(not a database|form 99)"):
            action()


def test_an_emptied_file_is_begun_anew_with_a_warning(store, caplog):
    write(store, {"a": 0.5})
    store.path.write_bytes(b"")
    write(store, {"b": 0.5})
    assert f"{store.path} is empty: verdicts are asked for" in caplog.text
    assert store.read(["a", "b"]) == {"b": 0.5}


def test_a_damaged_lock_is_named_and_an_emptied_one_locks(store):
    lock = store.path.with_name("verdicts.sqlite.lock")
    write(store, {"a": 0.5})
    lock.write_bytes(b"")
    write(store, {"b": 0.5})
    lock.write_text("no database at all " * 99)
    with pytest.raises(
        StoreError, match=rf"cannot be claimed .*not a database.* where {lock} is damaged, remove it"
    ):
        write(store, {})


def test_a_file_that_its_first_writer_has_just_opened_holds_nothing(store):
    store.path.parent.mkdir()
    store.path.touch()
    assert store.read(["a"]) == {}
    write(store, {"a": 0.5})
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
        with pytest.raises(
            Unaffordable,
            match=r"4 calls and a cost of 3\.9000 .* Raise evaluation\.openai\.max_cost, which is 4.0,",
        ):
            ledger.reserve(dear(0.2))
        ledger.bill(dear(0.9), 0.9, None, refused=True)
        ledger.reserve(dear(0.2))
        with pytest.raises(
            Unaffordable, match=r"5 calls .* Raise evaluation\.openai\.max_calls, which is 5,"
        ):
            ledger.reserve(dear(0.0))
        ledger.bill(dear(0.2), 0.2, None, refused=False)
        ledger.write()
    total = store.used([])[1]
    assert total.calls == 5 and total.cost == pytest.approx(3.2), "a broken connection may have been billed"


FORM_1 = """
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, judge TEXT, test TEXT, finetuned TEXT, goal TEXT, score REAL CHECK (score BETWEEN 0 AND 1),
    model TEXT, fingerprint TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT) WITHOUT ROWID;
CREATE TABLE spending (
    judge TEXT PRIMARY KEY, calls INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL) WITHOUT ROWID;
CREATE TABLE batches (name TEXT PRIMARY KEY, judge TEXT, id TEXT, held REAL, cases TEXT) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_form_keeps_its_verdicts_its_ledger_and_its_batches(tmp_path):
    """Without a server: what is in it is read as it is, and made into the present form by the first writer."""
    at, store, strange = (
        "http://127.0.0.1:9/v1",
        JudgeStore(tmp_path / "verdicts.sqlite"),
        'Peña: "王小明" \\ 50%\n',
    )
    judge = G_EVAL.identity(options(at, tmp_path))
    name, keys = json.dumps(judge, sort_keys=True), [G_EVAL.key(judge, case.texts) for case in cases(4)]
    used = Usage(3, 0, 9, 6), Spending(9, 27, 18, 0.25)
    rows = [
        (key, name, f"test {i}", strange, "goal", i / 2, "m", None, 3, 2, "2026")
        for i, key in enumerate(keys[:3])
    ]
    with sqlite3.connect(store.path) as connection:
        connection.executescript(FORM_1)
        connection.executemany(f"INSERT INTO verdicts VALUES (?{', ?' * 10})", rows)
        connection.execute("INSERT INTO spending VALUES (?, 9, 27, 18, 0.25)", (name,))
        held = json.dumps({keys[3]: ["test 3", strange, "goal"]})
        connection.execute("INSERT INTO batches VALUES ('g-eval-1', ?, 'batch_1', 0.125, ?)", (name, held))
    before = store.path.read_bytes()
    assert scores(judge_at(at, tmp_path).judge(cases(3))) == [0.0, 0.5, 1.0] and store.used(keys) == used
    assert store.path.read_bytes() == before
    with store.ledger(name, FREE) as ledger:
        assert ledger.batches() == [Batch("g-eval-1", "batch_1", 0.125, {keys[3]: texts("test 3", strange)})]
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORM,)
        made = connection.execute("SELECT key, texts, time FROM verdicts ORDER BY score").fetchall()
    expected = [(key, texts(f"test {i}", strange), "2026") for i, key in enumerate(keys[:3])]
    assert [(key, json.loads(row), time) for key, row, time in made] == expected
    assert scores(judge_at(at, tmp_path).judge(cases(3))) == [0.0, 0.5, 1.0] and store.used(keys) == used
