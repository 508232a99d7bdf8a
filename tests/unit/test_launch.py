"""Several processes: the same losses and adapter as one, failures that say what went wrong."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import load_file

from mmunlearn.records import Training, read_json
from mmunlearn.training.launch import launch, read_call
from mmunlearn.training.recipes import train_unlearned
from mmunlearn.training.settings import Machine
from tests.unit.training_fixtures import job_of, make_finetuned, write_files


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory):
    return make_finetuned(tmp_path_factory.mktemp("finetuned"))


def train(folder, finetuned, files, processes, **changes):
    """Train into a folder; training.json, the adapter's weights, and the kept one of step 2."""
    job = job_of(folder, finetuned, files)
    machine = Machine(processes=processes)
    given = {**files, "job": job, "machine": machine, "kept": {2: folder / "at-2" / "adapter"}, **changes}
    launch(train_unlearned, given, job.work)
    kept = load_file(folder / "at-2" / "adapter" / "adapter_model.safetensors")
    return read_json(job.output, Training), load_file(job.adapter / "adapter_model.safetensors"), kept


@pytest.mark.parametrize(
    ("method", "splits", "accumulation"),
    [("kl+bgd", ["person50", "event50"], 3), ("dpo", ["person50"], 1)],
)
def test_two_processes_train_what_one_trains(method, splits, accumulation, finetuned, tmp_path):
    """Of three passes, one process has two; of a single pass, one process has none."""
    files = write_files(tmp_path, finetuned)
    files["settings"] |= {"accumulation": accumulation}
    changes = {"method": method, "splits": [tmp_path / f"{name}.json" for name in splits]}
    alone, adapter, early = train(tmp_path / "one", finetuned, files, 1, **changes)
    together, other, other_early = train(tmp_path / "two", finetuned, files, 2, **changes)
    assert together.steps == alone.steps == 4
    for row, same in zip(together.losses, alone.losses, strict=True):
        assert row == pytest.approx(same, abs=1e-5)
    for own, same in ((other, adapter), (other_early, early)):
        torch.testing.assert_close(own, same, rtol=0, atol=1e-5)
    lines = [(tmp_path / name / "steps.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert lines == [4, 4]
    assert not list((tmp_path / "two" / "work" / "launch").glob("*.json"))


def test_the_arguments_survive_the_journey(finetuned, tmp_path):
    """Plain JSON there, the function's own types back."""
    from mmunlearn.training.launch import _plain

    files = write_files(tmp_path, finetuned)
    given = {
        **files, "job": job_of(tmp_path, finetuned, files), "concept": None, "epochs": 2.5,
        "kept": {2: tmp_path / "at-2"}, "machine": Machine(processes=2, trackers=["wandb"]),
    }  # fmt: skip
    path = tmp_path / "call.json"
    path.write_text(json.dumps(_plain(train_unlearned, given)), encoding="utf-8")
    function, read = read_call(path)
    assert function is train_unlearned
    assert read == given


def test_a_failure_ends_with_the_last_lines_and_the_log_has_all(finetuned, tmp_path, caplog):
    files = write_files(tmp_path, finetuned)
    given = {
        **files,
        "job": job_of(tmp_path, finetuned, files),
        "machine": Machine(processes=2),
        "method": "gda",
    }
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(RuntimeError, match="training in 2 processes") as caught,
    ):
        launch(train_unlearned, given, tmp_path / "work")
    assert "method 'gda' is unknown; did you mean" in str(caught.value)
    assert "Traceback" in str(caught.value) and "Traceback" in caplog.text
    assert not list(tmp_path.glob("work/launch/*.error"))
    assert not (tmp_path / "training.json").exists()


def test_one_process_is_this_one(tmp_path):
    called = []
    launch(lambda **given: called.append(given), {"machine": Machine(), "n": 1}, tmp_path)
    assert called == [{"machine": Machine(), "n": 1}]
    assert not list(tmp_path.iterdir())


def test_a_configuration_file_of_accelerate_is_passed_through(finetuned, tmp_path, monkeypatch):
    from mmunlearn.training import launch as module

    files, commands = write_files(tmp_path, finetuned), []
    monkeypatch.setattr(module, "_run", lambda command: commands.append(command) or (0, ""))
    given = {**files, "job": job_of(tmp_path, finetuned, files)}
    launch(
        train_unlearned, given | {"machine": Machine(2, str(tmp_path / "refusals.txt"))}, tmp_path / "work"
    )
    assert commands[0][3:7] == ["--config_file", str(tmp_path / "refusals.txt"), "--num_processes", "2"]
    with pytest.raises(
        FileNotFoundError, match=r"fsdp.yaml, which does not exist; write it by `accelerate config"
    ):
        launch(
            train_unlearned, given | {"machine": Machine(2, str(tmp_path / "fsdp.yaml"))}, tmp_path / "work"
        )
