"""Ctrl-C and SIGTERM: a job cleans up and says a line; a training ends its step and keeps a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children, current_process

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ResourceSettings

from mmunlearn import interrupts
from mmunlearn.interrupts import Stopped, deferring, stopping
from tests.copies import ROOT
from tests.rules.standin import run_script
from tests.unit.training_fixtures import digest, unlearner

pytestmark = pytest.mark.usefixtures("signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_block_by_an_exception_and_its_echo_does_not_disturb_the_cleaning(number):
    cleaned = []

    def job():
        with stopping():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), signal.SIGINT)  # Snakemake's, after the terminal's
                cleaned.append(True)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped by {number.name}.*same command again") as stopped:
        job()
    assert cleaned and stopped.value.status == 128 + number
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_stops_at_once_a_second_sigterm_does_not(monkeypatch):
    told = []

    def job():
        with deferring(lambda: told.append(1)) as request:
            assert not request
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            assert request.number == signal.SIGTERM and told == [1]
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(interrupts, "SAME", 0.0)
    with pytest.raises(Stopped, match="stopped by SIGINT; at once"):
        job()


def test_a_script_says_one_line(tmp_path, caplog, monkeypatch):
    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("mmunlearn.workflow.run_config.write_run_config", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run_script("write_run_config", output=["config.yaml"], log=["job.log"], cwd=tmp_path)
    assert stopped.value.code == 128 + signal.SIGTERM
    (line,) = (tmp_path / "job.log").read_text().splitlines()
    assert "stopped by SIGTERM" in line and "run the same command again" in line


@pytest.mark.parametrize(("name", "step", "workers"), [("kl+bgd", 3, 2), ("dpo", 5, 0)])
def test_a_training_that_is_told_to_stop_ends_its_step_and_goes_on_from_there(
    name, step, workers, finetuned, tmp_path
):
    """A checkpoint falls due after every second step; it is told so during the third, or the last but one, and its
    workers are, too."""

    def trainer(folder):
        return unlearner(finetuned, name, tmp_path / folder, dropout=0.05, workers=workers)

    unbroken = trainer("unbroken")
    expected = unbroken.run()
    told = trainer("told")
    loss = told.method.loss

    def signalled(views):
        if told.state.global_step == step - 1:
            assert len(active_children()) == workers
            pids = [str(process.pid) for process in [*active_children(), current_process()]]
            subprocess.run(["kill", *pids], check=True)
            time.sleep(0.2)
        return loss(views)

    told.method.loss = signalled
    with pytest.raises(Stopped, match=rf"after step {step} of 6 \S+checkpoint-{step} is kept: run the same"):
        told.run()
    assert not active_children()
    resumed = trainer("told")
    assert resumed.run() == expected
    assert digest(resumed.model) == digest(unbroken.model)


JOB = """
import sys, time
from pathlib import Path
from mmunlearn.interrupts import deferring
with deferring() as request:
    Path(sys.argv[1]).touch()
    while not request:
        time.sleep(0.02)
Path(sys.argv[1]).with_name("told").touch()
"""
SNAKEMAKE = """
import subprocess, sys
from mmunlearn.workflow.forward import forward_interrupts
forward_interrupts()
job = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
try:
    job.wait()
except KeyboardInterrupt:
    sys.exit(job.wait() + 5)
"""


def test_an_interrupt_of_snakemake_alone_reaches_its_jobs(tmp_path):
    started = tmp_path / "started"
    command = [sys.executable, "-c", SNAKEMAKE, JOB, str(started)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    while not started.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 5 and (tmp_path / "told").exists()
    with SnakemakeApi() as api:
        workflow = api.workflow(ResourceSettings(), snakefile=ROOT / "Snakefile", workdir=ROOT)._workflow
    assert {"forward_interrupts", "gpus_error", "outputs_error", "sweep"} <= set(
        workflow._onstart.__code__.co_names
    )
