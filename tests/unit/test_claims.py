"""Claims: one holder at a time, who is waited for while he lives, and never a moment longer than the rules say."""

from __future__ import annotations

import json
import logging
import math
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmunlearn import claims
from mmunlearn.claims import Holder, claim

CODE = """
import sys, time
from pathlib import Path
from mmunlearn import claims
claims.PAUSE = 0.02
times, log = int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
for _ in range(times):
    with claims.claim(Path(sys.argv[1])):
        print("in", file=log)
        time.sleep(float(sys.argv[4]))
        print("out", file=log)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(claims, "PAUSE", 0.02)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "claims" / "job.json"


def holder_process(path: Path, log: Path, times: int = 1, seconds: float = 60) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CODE, *map(str, (path, times, log, seconds))])


def wait_for(there) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


def write_claim(path: Path, **changes: object) -> str:
    """The claim of another machine's process."""
    path.parent.mkdir(exist_ok=True)
    holder = replace(claims._me(), host="n7", machine="another", **{"slurm_job": ""} | changes)
    text = json.dumps(asdict(holder), indent=2) + "\n"
    path.write_text(text)
    return text


def test_of_many_processes_one_is_inside_at_a_time(path, tmp_path):
    log = tmp_path / "log"
    processes = [holder_process(path, log, times=8, seconds=0.005) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert log.read_text().split() == ["in", "out"] * 32
    assert list(path.parent.iterdir()) == []


def test_a_holder_who_lives_is_waited_for_and_named(path, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    process = holder_process(path, tmp_path / "log", seconds=1.0)
    wait_for(path.exists)
    with claim(path, Path("results/training.json")):
        assert (tmp_path / "log").read_text().split() == ["in", "out"]
    process.wait()
    (record,) = [one for one in caplog.records if "waiting" in one.message]
    assert (
        f"results/training.json is being made by process {process.pid} on {claims.HOST}, since"
        in record.message
    )
    assert f"If it is to end, `kill {process.pid}` on {claims.HOST}; the claim is {path}" in record.message


@pytest.mark.parametrize("waiters", [1, 3])
def test_a_killed_holders_claim_is_broken_at_once_and_by_one_alone(path, tmp_path, waiters, caplog):
    process = holder_process(path, tmp_path / "log")
    wait_for(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text())
    process.send_signal(signal.SIGKILL)  # what is left of it, which nobody has waited for, is no life either
    others = [holder_process(path, tmp_path / "log", times=2, seconds=0.05) for _ in range(waiters - 1)]
    with claim(path):
        assert str(os.getpid()) in path.read_text()
    assert [other.wait() for other in others] == [0] * (waiters - 1)
    assert (tmp_path / "log").read_text().split() == ["in"] + ["in", "out"] * 2 * (waiters - 1)
    assert process.wait() == -signal.SIGKILL
    if waiters == 1:
        assert f"was claimed by process {process.pid} on {claims.HOST}" in caplog.text
        assert f"that process has ended; the claim {path} is broken" in caplog.text
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "\x00", "[]", '["a"]', '{"host": "n1"}', json.dumps({**asdict(claims._me()), "slurm_job": 5})],
)
def test_a_claim_that_nobody_can_read_is_that_of_nobody_known(text):
    assert claims._read(text) is None


def test_after_a_new_start_of_its_machine_no_number_of_a_process_is_told():
    me = claims._me()
    assert replace(me, slurm_job="").remedy == f"`kill {os.getpid()}` on {claims.HOST}"
    assert replace(me, slurm_job="", machine="before").remedy == f"end it on {claims.HOST}"
    assert replace(me, slurm_job="7", machine="before").remedy == "`scancel 7`"


ME = Holder("n1", "boot-1", 7, "100", "55", "now", 1)
OTHER = Holder("n2", "boot-2", 7, "100", "56", "now")


@pytest.mark.parametrize(
    ("holder", "limit", "quiet", "end"),
    [
        (replace(ME, pid=1), 300, 0, "that process has ended"),  # another start: a later process of that number
        (replace(OTHER, slurm_job="55"), 1800, 39, None),  # its node may be out of reach, and it may live
        (replace(OTHER, slurm_job="55"), 1800, 40, "this job was requeued"),
        (replace(OTHER, slurm_job="55", restarts=1), 1800, 1799, None),  # another node of the same job
        (OTHER, math.inf, 1e9, None),
        (OTHER, 1800, 1799, None),
        (OTHER, 1800, 1800, "no sign of life for 1800 s"),
        (OTHER, 40, 39, None),
        (OTHER, 40, 40, "Slurm's job has ended"),
        (OTHER, 300, 299, None),
        (OTHER, 300, 300, "no sign of life for 300 s"),
        (None, 300, 299, None),
        (None, 300, 300, "no sign of life for 300 s"),
    ],
)  # fmt: skip
def test_the_rules(holder, limit, quiet, end):
    assert claims._end(holder, ME, limit, quiet) == end


def test_a_claim_says_which_start_of_slurms_job_made_it(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    assert (claims._me().slurm_job, claims._me().restarts) == ("55", 0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert claims._me().restarts == 2
    plain = asdict(ME) | {"restarts": 0}
    assert claims._read(json.dumps(plain)) == replace(ME, restarts=0)
    del plain["restarts"]  # as earlier releases wrote it
    assert claims._read(json.dumps(plain)) == replace(ME, restarts=0)


def test_a_process_of_this_machine_lives_as_long_as_it_runs():
    """However quiet it is, and whatever Slurm says: jobs of one allocation share its number."""
    me = claims._me()
    assert claims._end(me, me, 40, 1e9) is None and me.started.isdigit()
    assert claims._started(2**22 + 1) is None
    boot, space = me.machine.split(" ")
    assert len(boot) == 36 and space.startswith("pid:[")


@pytest.mark.parametrize(
    ("printed", "status", "limit"),
    [
        ("RUNNING", 0, 1800),  # perhaps without us: a script within salloc that was killed
        ("COMPLETING", 0, 1800),
        ("SUSPENDED", 0, math.inf),
        ("STOPPED", 0, math.inf),
        ("PENDING", 0, 40),  # requeued: it has not begun again
        ("COMPLETED", 0, 40),
        ("", 0, 300),  # hidden, as by PrivateData
        ("slurm_load_jobs error: Invalid job id specified", 1, 40),
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1, 300),
    ],
)
def test_slurm_is_asked_by_squeue(printed, status, limit, tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    stream = 2 if status else 1
    squeue.write_text(
        '#!/bin/sh\n[ "$*$SQUEUE_STATES" = "--states=all -h -j 55 -o %T" ] || exit 9\n'
        f'echo "{printed}" >&{stream}\nexit {status}\n'
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    assert claims._patience("55") == limit


def test_without_slurm_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert claims._patience("55") == 300


def test_another_machines_claim_is_broken_when_it_is_quiet_by_the_clock_of_who_waits(
    path, monkeypatch, caplog
):
    """Not while it is touched, however old its time is by this clock."""
    monkeypatch.setattr(claims, "SILENT", 0.6)
    write_claim(path, since="2026-01-01 00:00:00+00:00")
    begun = time.monotonic()

    def beat():
        for number in range(10):
            os.utime(path, (1e9 + number, 1e9 + number))  # a clock that is years behind
            time.sleep(0.1)

    thread = threading.Thread(target=beat)
    thread.start()
    with claim(path):
        assert time.monotonic() - begun > 1.4
    thread.join()
    assert "on n7, since 2026-01-01 00:00:00+00:00: no sign of life for 0.6 s" in caplog.text


def test_what_slurm_said_of_one_holder_is_not_held_against_the_next(path, monkeypatch, caplog):
    monkeypatch.setattr(claims, "ENDED", 0.1)
    monkeypatch.setattr(claims, "SILENT", 0.6)
    monkeypatch.setattr(claims, "_patience", {"56": 0.1, "57": 0.6}.get)
    write_claim(path, slurm_job="56")
    remove = claims._break

    def replaced(*given):
        remove(*given)
        if "job 56" in given[2]:
            write_claim(path, slurm_job="57")

    monkeypatch.setattr(claims, "_break", replaced)
    with claim(path):
        assert "Slurm job 56, since" in caplog.text and "Slurm's job has ended" in caplog.text
        assert "no sign of life for 0.6 s" in caplog.text


def test_time_in_which_a_waiter_could_not_look_does_not_count(path, monkeypatch):
    """It was suspended, or the file server did not answer: the holder's next touch is yet to come."""
    now, looks = [0.0], []

    def sleep(seconds):
        looks.append(seconds)
        now[0] += seconds if len(looks) > 1 else 1e6

    monkeypatch.setattr(claims, "SILENT", 0.6)
    monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    write_claim(path)
    with claim(path):
        assert 25 <= len(looks) <= 32


def test_a_claim_is_touched_while_it_is_held(path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.05)
    with claim(path):
        os.utime(path, (1e9, 1e9))
        wait_for(lambda: path.stat().st_mtime > 1e9)
        path.unlink()
        wait_for(path.exists)  # a folder that was cleaned by hand
    assert not path.exists()


LOST = """
import sys, time
from pathlib import Path
from mmunlearn import claims
from mmunlearn.interrupts import deferring
claims.BEAT = 0.05
with claims.claim(Path(sys.argv[1])), deferring() as request:
    try:
        print("in", flush=True)
        for _ in range(600):
            time.sleep(0.1)
            if request:
                break
    finally:
        print("writes", flush=True)
"""


def test_a_job_whose_claim_is_anothers_ends_at_once_and_writes_nothing(path):
    """Not even the checkpoint of a training that is told to stop."""
    job = subprocess.Popen(
        [sys.executable, "-c", LOST, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "in\n"
    text = write_claim(path)
    printed, errors = job.communicate(timeout=60)
    assert (job.returncode, printed) == (1, "")
    assert path.read_text() == text
    assert f"{path} was broken, and process {os.getpid()} on n7" in errors


def test_a_stale_answer_of_a_file_server_ends_no_job(path, monkeypatch):
    """NFS says that a claim is not there, which is; or its text is nobody's."""
    ended, look, answers = [], claims._look, []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(claims, "BEAT", 0.02)
    monkeypatch.setattr(claims, "_look", lambda path: answers.pop() if answers else look(path))
    with claim(path):
        for stale in ([(None, 0)], [(None, 0)] * 2, [("", 0)]):
            answers.extend(stale)
            wait_for(partial(operator.not_, answers))
        os.utime(path, (1e9, 1e9))
        wait_for(lambda: path.stat().st_mtime > 1e9)
    assert ended == [] and not path.exists()


def test_a_claim_that_was_made_since_is_not_broken(path):
    text = write_claim(path)
    claims._break(path, "another", "why")
    assert path.read_text() == text
    claims._break(path, text, "why")
    assert list(path.parent.iterdir()) == []


def test_a_file_system_without_links_has_claims_too(path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links")))
    with claim(path):
        assert not claims._link(path, "other") and str(os.getpid()) in path.read_text()
    assert list(path.parent.iterdir()) == []


def test_a_link_whose_answer_nfs_has_lost_counts(path, monkeypatch):
    link = os.link

    def lost(source, target):
        link(source, target)
        raise FileExistsError(target)

    monkeypatch.setattr("os.link", lost)
    with claim(path):
        assert not claims._link(path, "other")
