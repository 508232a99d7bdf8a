"""benchmarks/gpu: a row a figure, within its time; what runs out of memory or time says so and harms no other."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from importlib import import_module

import pytest
import torch

from tests.copies import ROOT


@pytest.fixture(scope="module")
def throughput():
    folder = str(ROOT / "benchmarks" / "gpu")
    sys.path.insert(0, folder)
    yield import_module("throughput")
    sys.path.remove(folder)


def rows(path):
    with path.open(newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_what_fails_is_a_row_that_says_why(throughput, tmp_path):
    table = throughput.Table(tmp_path / "t.csv", "cpu", seconds=60, share=0.2)

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory")

    def absent():
        raise ModuleNotFoundError("no", name="diffusers")

    assert table.measure(lambda: {"seconds": 1.23456, "rounds": 5}, what="train", model="good")
    calls = {"full": full, "slow": lambda: time.sleep(9), "absent": absent, "wrong": lambda: 1 / 0}
    assert not any(table.measure(call, what="train", model=name) for name, call in calls.items())
    table.seconds = 4
    assert not table.measure(lambda: 1 / 0, least=5, what="train", model="late")
    found = rows(tmp_path / "t.csv")
    assert {name: row["note"] for name, row in found.items()} == {
        "good": "", "full": "out of memory", "slow": "out of time", "absent": "package diffusers is missing",
        "wrong": "ZeroDivisionError: division by zero", "late": "no time left",
    }  # fmt: skip
    assert (found["good"]["seconds"], found["full"]["seconds"]) == ("1.235", "")
    assert found["good"]["device"].startswith("CPU") and found["good"]["torch"] == torch.__version__


def test_the_time_holds_also_where_an_import_never_ends_and_keeps_python_s_lock(tmp_path):
    (tmp_path / "torch.py").write_text("import ctypes\nctypes.PyDLL(None).sleep(60)\n")
    script, start = ROOT / "benchmarks" / "gpu" / "throughput.py", time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script), "--tiny", "--seconds=-14"],  # the process ends 15 later
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 1 and "Timeout (0:00:01)!" in done.stderr and time.monotonic() - start < 30


@pytest.mark.parametrize("name", ["llava-1.5-7b", "qwen3-vl-4b"])
def test_a_step_runs_its_tower_where_features_are_not_stored_and_counts_what_it_does(throughput, name):
    model = throughput.trained(name, tiny=True, device="cpu")
    with torch.no_grad():
        runs = []
        part = model.base.model.model.vision_tower if "llava" in name else model.base.model.model.visual
        model.features, model.prepared  # noqa: B018
        part.register_forward_hook(lambda *_: runs.append(1))
    stored, tower = (model.step("kl", packed=True, stored=stored) for stored in (True, False))
    stored.run()
    assert not runs
    tower.run()
    assert len(runs) == 8 and tower.counts["flop"] > stored.counts["flop"]
    unpacked = model.step("kl", packed=False, stored=True)
    assert (stored.counts["samples"], unpacked.counts["samples"]) == (12, 12)
    assert unpacked.counts["tokens"] > stored.counts["tokens"]
    ascent = model.step("gd", packed=True, stored=True)
    assert (
        ascent.counts["tokens"] == stored.counts["tokens"] and ascent.counts["flop"] < stored.counts["flop"]
    )
