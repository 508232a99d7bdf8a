"""The store of verdicts: one writer, many readers, nothing lost by a kill, and what it all has cost."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmunlearn.evaluation.budget import Budget, Unaffordable
from mmunlearn.evaluation.g_eval import identity, verdict_key
from mmunlearn.evaluation.verdict_store import Batch, Spending, StoreError, Verdict, VerdictStore
from tests.unit.judge_fixtures import CONFIG, ROOT

SPENT = Spending(calls=3, prompt_tokens=30, completion_tokens=6, cost=0.5)


def verdict(key: str, score: float = 0.5) -> Verdict:
    return Verdict(key, "judge", "a", "b", "c", score, "m-2026", None, 10, 2, "2026-01-01T00:00:00+00:00")


def test_what_is_kept_is_read_and_the_rest_is_not_there(tmp_path):
    store = VerdictStore(tmp_path / "deep" / "verdicts.sqlite")
    assert store.read(["x"]) == {}
    assert not store.path.exists(), "reading makes no file"
    many = [f"{i:04d}" for i in range(1200)]
    with store.writing() as writer:
        writer.keep("judge", SPENT, [verdict(key, i / 1200) for i, key in enumerate(many)])
        assert writer.spent("judge") == SPENT and writer.spent("other") == Spending()
        writer.keep("other", SPENT)
        assert writer.spent() == Spending(calls=6, prompt_tokens=60, completion_tokens=12, cost=1.0)
    found = store.read([*many, "x"])
    assert found == {key: i / 1200 for i, key in enumerate(many)}


@pytest.mark.parametrize("score", [-0.1, 1.1, None, float("nan")])
def test_no_score_but_one_in_0_to_1_gets_in(tmp_path, score):
    store = VerdictStore(tmp_path / "v.sqlite")
    with store.writing() as writer:
        writer.keep("judge", Spending())
    with pytest.raises(StoreError, match="constraint"), store.writing() as writer:
        writer.keep("judge", SPENT, [verdict("good"), verdict("bad", score)])
    with store.writing() as writer:
        assert writer.spent() == Spending() and writer.read(["good", "bad"]) == {}, "half a transaction"


def test_it_is_a_plain_file_without_a_write_ahead_log(tmp_path):
    store = VerdictStore(tmp_path / "v.sqlite")
    with store.writing() as writer:
        writer.keep("judge", SPENT, [verdict("a")])
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {"v.sqlite", "v.sqlite.lock"}
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_second_writer_waits_says_so_and_gives_up(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "mmunlearn")
    store = VerdictStore(tmp_path / "v.sqlite", wait=0.2)
    with store.writing() as writer:
        writer.keep("judge", SPENT, [verdict("a")])
        with (
            pytest.raises(StoreError, match=r"Asked to write .* Found .* Wait until the other run"),
            store.writing(),
        ):
            pass
        assert store.read(["a"]) == {"a": 0.5}, "others read meanwhile"
    assert "another job writes verdicts" in caplog.text
    with store.writing():
        pass


def test_a_second_writer_goes_on_when_the_first_ends(tmp_path):
    store, order = VerdictStore(tmp_path / "v.sqlite", wait=60), []

    def second():
        with store.writing() as writer:
            order.append("second")
            writer.keep("judge", SPENT)

    thread = threading.Thread(target=second)
    with store.writing():
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


JOB = """
import sys
from mmunlearn.evaluation.verdict_store import Spending, VerdictStore
from tests.unit.test_verdict_store import verdict
with VerdictStore(sys.argv[1]).writing() as writer:
    for i in range(10**6):
        writer.keep("judge", Spending(calls=i + 1), [verdict(str(i))])
        print(i, flush=True)
"""


def test_a_killed_writer_lifts_its_lock_and_loses_nothing_it_has_told(tmp_path):
    store = VerdictStore(tmp_path / "v.sqlite", wait=60)
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(store.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    told = [int(job.stdout.readline()) for _ in range(40)][-1]
    job.send_signal(signal.SIGKILL)
    told = max([told, *map(int, job.stdout.read().split())])
    job.wait()
    assert len(store.read(map(str, range(told + 1)))) == told + 1
    with store.writing() as writer:
        assert writer.spent().calls >= told + 1


@pytest.mark.parametrize("damage", ["no database at all " * 99, None])
def test_a_file_that_is_none_or_of_another_version_is_named(tmp_path, damage):
    store = VerdictStore(tmp_path / "v.sqlite")
    if damage is None:
        with store.writing():
            pass
        with sqlite3.connect(store.path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        store.path.write_text(damage)
    with pytest.raises(StoreError, match=r"Asked .*v\.sqlite.* Found .*(not a database|form 99)"):
        store.read(["a"])
    with pytest.raises(StoreError, match="Asked"), store.writing():
        pass


def test_a_file_that_its_first_writer_has_just_opened_holds_nothing(tmp_path):
    store = VerdictStore(tmp_path / "v.sqlite")
    store.path.touch()
    assert store.read(["a"]) == {}
    with store.writing() as writer:
        writer.keep("judge", SPENT, [verdict("a")])
    assert store.read(["a"]) == {"a": 0.5}


def test_batches_are_remembered_until_they_are_collected(tmp_path):
    store = VerdictStore(tmp_path / "v.sqlite")
    batch = Batch("n", "judge", None, 0.25, {"k": ["a", "b", "c"]})
    with store.writing() as writer:
        writer.keep("judge", SPENT, batch=batch)
        writer.keep("judge", SPENT, batch=replace(batch, id="batch_1"))
    with store.writing() as writer:
        assert writer.batches("judge") == [replace(batch, id="batch_1")] and writer.batches("other") == []
        writer.keep("judge", SPENT, [verdict("k")], collected=batch)
        assert writer.batches("judge") == [] and writer.read(["k"]) == {"k": 0.5}


def test_the_key_is_of_the_judge_the_instructions_and_each_sentence():
    judge = identity(CONFIG)
    keys = [
        verdict_key(judge, "a", "b", "c"),
        verdict_key(judge, "b", "a", "c"),
        verdict_key(judge, "a", "c", "b"),
        verdict_key(judge | {"prompt": "other"}, "a", "b", "c"),
        verdict_key(judge | {"model": "other"}, "a", "b", "c"),
        verdict_key(judge | {"seed": 2}, "a", "b", "c"),
    ]
    assert len(set(keys)) == len(keys) and all(len(key) == 64 for key in keys)
    assert identity(CONFIG | {"temperature": 0, "base_url": f"{CONFIG['base_url']}/"}) == judge
    others = {
        "key_env": "X",
        "timeout": 1,
        "max_cost": 1.0,
        "store": "x",
        "batch_api": True,
        "concurrency": 1,
    }
    assert identity(CONFIG | others) == judge


def test_a_budget_counts_all_judges_and_gives_back_what_was_not_used():
    budget = Budget(
        Spending(calls=2, cost=1.0), Spending(calls=5, cost=3.0),
        max_calls=7, max_cost=4.0, prompt_price=0.0, completion_price=0.0,
    )  # fmt: skip
    budget.admit(0.9)
    with pytest.raises(Unaffordable, match="max_cost"):
        budget.admit(0.2)
    budget.settle(0.9, None, refused=True)
    budget.admit(0.2)
    with pytest.raises(Unaffordable, match="max_calls"):
        budget.admit(0.0)
    assert budget.spending == Spending(calls=4, cost=pytest.approx(1.2))
    budget.settle(0.2, None, refused=False)
    assert budget.spending.cost == pytest.approx(1.2), "a broken connection may have been billed"


def test_parsing_a_workflow_needs_no_openai():
    code = "import sys; from mmunlearn.evaluation import g_eval; sys.exit(bool({'openai', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT)).returncode == 0
