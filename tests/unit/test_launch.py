"""Several processes: the same losses and adapters as one, failures that say what went wrong."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmunlearn.interrupts import Stopped, deferring
from mmunlearn.records import Training, read_json
from mmunlearn.training import launch as module
from mmunlearn.training.launch import launch, plain_call, read_call
from mmunlearn.training.run import UnlearningRun
from mmunlearn.training.train import trace, train, write_outputs
from tests.copies import ROOT
from tests.unit.training_fixtures import WEIGHTS, unlearning


def train_all_and_fail(run: UnlearningRun, others: list[UnlearningRun], folder: Path) -> None:
    """Train two runs, trace a third, and end with an error."""
    for other in others:
        train(other, folder / other.run.recipe / "training.json")
    trace(run, {2: folder / "at-2"})
    raise ValueError("all is trained")


def test_two_processes_train_what_one_trains_and_a_failure_says_why(finetuned, tmp_path, caplog):
    """Of three passes, one process has two; of a single pass, one process has none. All train with dropout, the last
    one as the paper preset does, in bf16 and with checkpointing."""
    loop = {"batch": 1, "max_steps": 4, "dropout": 0.05}
    ga = unlearning(finetuned, tmp_path / "work", accumulation=3, **loop)
    halves = {name: value.bfloat16() for name, value in load_file(finetuned / "features.safetensors").items()}
    save_file(halves, tmp_path / "features.safetensors")
    paper = {
        "precision": "bf16", "checkpointing": True, "spec": {**ga.spec, "dtype": "bfloat16"},
        "features": [tmp_path / "features.safetensors"],
    }  # fmt: skip
    others = [
        unlearning(finetuned, tmp_path / "work", "kl+bgd-both50", accumulation=3, average="token", **loop),
        unlearning(finetuned, tmp_path / "work", "dpo-person50", accumulation=1, **loop),
        unlearning(finetuned, tmp_path / "work", "gd-person50", accumulation=4, **loop, **paper),
    ]
    with pytest.raises(ValueError, match="all is trained"):
        launch(train_all_and_fail, ga, others=others, folder=tmp_path / "one")
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(RuntimeError, match="training in 2 processes") as caught,
    ):
        launch(train_all_and_fail, replace(ga, processes=2), others=others, folder=tmp_path / "two")
    assert "Traceback" in str(caught.value) and "ValueError: all is trained" in str(caught.value)
    assert "ValueError: all is trained" in caplog.text
    assert [path.suffix for path in (tmp_path / "work" / "launch").iterdir()] == [".yaml"]
    for other in others:
        alone, together = (
            read_json(tmp_path / name / other.run.recipe / "training.json", Training)
            for name in ("one", "two")
        )
        assert together.steps == alone.steps == 4
        for row, same in zip(together.losses, alone.losses, strict=True):
            assert row == pytest.approx(same, abs=1e-5)
        log = tmp_path / "two" / other.run.recipe / "steps.jsonl"
        assert log.read_text(encoding="utf-8").count("\n") == 4
    adapters = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob(WEIGHTS)]
    assert len(adapters) == 4
    for path in adapters:
        one, two = (load_file(tmp_path / name / path) for name in ("one", "two"))
        torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


def wait_for_a_signal(run: UnlearningRun, folder: Path) -> None:
    """Tell the process that started the two to stop, and stop when told oneself."""
    with deferring() as request:
        (folder / os.environ["RANK"]).touch()
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.02)
        if os.environ["RANK"] == "0":
            os.kill(int((folder.parent / "pid").read_text()), signal.SIGINT)
        while not request:
            time.sleep(0.02)
    raise Stopped(request.number, f"process {os.environ['RANK']} has kept it")


def test_processes_that_are_told_to_stop_end_their_step_first(finetuned, tmp_path, caplog, signals):
    """The starting process alone is told, as by Snakemake or a terminal: the launcher would kill them."""
    (tmp_path / "pid").write_text(str(os.getpid()))
    (tmp_path / "ready").mkdir()
    run = unlearning(finetuned, tmp_path / "work", processes=2)
    with pytest.raises(Stopped, match="stopped by SIGINT; process 0 has kept it"):
        launch(wait_for_a_signal, run, folder=tmp_path / "ready")
    assert "Traceback" not in caplog.text
    assert [path.suffix for path in (tmp_path / "work" / "launch").iterdir()] == [".yaml"]


def test_a_process_ends_with_the_job_that_was_killed():
    """It has a session of its own, and would go on training in the folder that the next job claims."""
    job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    code = (
        "import sys, time; from mmunlearn.training.launch import end_with; end_with(int(sys.argv[1])); "
        "print('on', flush=True); time.sleep(300)"
    )
    rank = subprocess.Popen(
        [sys.executable, "-c", code, str(job.pid)], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert rank.stdout.readline() == b"on\n"
        assert rank.poll() is None
        job.kill()
        job.wait()
        assert rank.wait(timeout=60) == 1
    finally:
        job.kill()
        rank.kill()


@pytest.mark.parametrize(
    "outputs", [{"training": Path("a/training.json")}, {"adapters": [Path("a@1/w"), Path("a@2/w")]}]
)
def test_the_arguments_survive_the_journey(outputs, finetuned, tmp_path):
    """Plain JSON there, the types of the run and of the function back."""
    run = unlearning(finetuned, tmp_path, processes=2, epochs=2.5, trackers=["wandb"], logs=tmp_path / "logs")
    path = tmp_path / "call.json"
    path.write_text(json.dumps(plain_call(write_outputs, run, {"outputs": outputs})), encoding="utf-8")
    assert read_call(path) == (write_outputs, run, {"outputs": outputs})


def test_one_process_is_this_one(finetuned, tmp_path):
    calls, run = [], unlearning(finetuned, tmp_path / "work")
    launch(lambda *given, **more: calls.append((given, more)), run, n=1)
    assert calls == [((run,), {"n": 1})]
    assert not (tmp_path / "work").exists()


def test_a_configuration_file_of_accelerate_is_passed_through(finetuned, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(module.subprocess, "Popen", lambda command, **_: commands.append(command) or Ended())
    config = finetuned / "refusals.txt"
    run = unlearning(finetuned, tmp_path / "work", processes=2, accelerate_config=str(config))
    launch(train, run, output=tmp_path / "training.json")
    assert commands[0][3:7] == ["--config_file", str(config), "--num_processes", "2"]
    with pytest.raises(
        FileNotFoundError, match=r"fsdp.yaml, which does not exist; write it by `accelerate config"
    ):
        launch(train, replace(run, accelerate_config="fsdp.yaml"), output=tmp_path / "training.json")


class Ended:
    """A process that has ended well."""

    stdout = ()

    def wait(self):
        return 0

    poll = wait
