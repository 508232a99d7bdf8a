"""Jobs side by side have GPUs of their own, whoever names them and however a job ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, ResourceList, Wildcards
from snakemake.script import Snakemake

from mmunlearn import cards
from mmunlearn.cards import VISIBLE, found, locks, own_cards
from mmunlearn.training import launch
from mmunlearn.workflow.job import DEALING, deal_cards, job
from tests.copies import ROOT

LISTED = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5c89852c-d268)
  MIG 3g.40gb     Device  0: (UUID: MIG-c6d4f1ef-42e4)
  MIG 3g.40gb     Device  1: (UUID: MIG-cba663e8-9bed)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-8a56a4bc-e184)
"""
HOLD = """
import logging, os, signal, subprocess, sys
from mmunlearn import cards
signal.alarm(60)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
cards.PAUSE = 0.05
with cards.own_cards(int(sys.argv[1])):
    if sys.argv[2:]:
        subprocess.Popen(["sleep", "60"], pass_fds=cards.locks(), stdout=subprocess.DEVNULL, start_new_session=True)
    print("has", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""
Hold = Callable[..., subprocess.Popen]


@pytest.fixture
def smi(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Have `nvidia-smi` print something."""
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def printing(text: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n", encoding="utf-8")
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)

    return printing


@pytest.fixture
def two(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """Two cards that no other test has."""
    names = [f"GPU-{digit}-{abs(hash(tmp_path)):x}" for digit in "ab"]
    monkeypatch.setenv(VISIBLE, ",".join(names))
    folder = cards._folder()
    yield names
    for name in names:
        (folder / f"{name}.lock").unlink(missing_ok=True)


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Start a process that takes cards until its input ends."""
    started = []

    def start(number: int, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(number), *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def lines_until_it_has(process: subprocess.Popen) -> list[str]:
    lines = []
    while not lines or not lines[-1].startswith("has"):
        lines.append(process.stdout.readline().rstrip())
        assert lines[-1], "it has ended"
    return lines


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, {name: name for name in ("MIG-c6d4f1ef-42e4", "MIG-cba663e8-9bed", "GPU-8a56a4bc-e184")}),
        ("1", {"1": "GPU-8a56a4bc-e184"}),
        ("GPU-8a, GPU-5c8", {"GPU-8a": "GPU-8a56a4bc-e184", "GPU-5c8": "GPU-5c89852c-d268"}),
        ("MIG-cba663e8-9bed", {"MIG-cba663e8-9bed": "MIG-cba663e8-9bed"}),
        ("MIG-GPU-5c89/1/0,7", {"MIG-GPU-5c89/1/0": "MIG-GPU-5c89/1/0", "7": "7"}),
        ("1,-1,0", {"1": "GPU-8a56a4bc-e184"}),
        ("", {}),
        ("NoDevFiles", {}),
    ],
)
def test_a_card_has_one_name_whoever_tells_it(smi, monkeypatch, visible, expected):
    smi(LISTED)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert found() == expected


def test_where_nothing_is_listed_cards_are_those_that_are_named(smi, monkeypatch, caplog):
    assert found() == {}, "no nvidia-smi"
    smi("No devices were found\n")
    assert found() == {}
    with own_cards(0):
        assert not caplog.messages
    with own_cards(2):
        assert VISIBLE not in os.environ and locks() == ()
    assert "2 GPUs are asked for; found none in CUDA_VISIBLE_DEVICES or by nvidia-smi -L" in caplog.text
    monkeypatch.setenv(VISIBLE, "1,0")
    assert list(found().items()) == [("1", "1"), ("0", "0")]


def test_what_nvidia_smi_may_say_else_is_passed_over(smi, tmp_path):
    smi("  MIG 1g.5gb Device 0: (UUID: MIG-lost)\nGPU 0: A100 (UUID: GPU-1)\n")
    assert found() == {"GPU-1": "GPU-1"}
    (tmp_path / "bin" / "nvidia-smi").write_bytes(b"#!/bin/sh\nprintf '\\377\\376 broken'\nexit 9\n")
    assert found() == {}


def test_a_list_of_cards_that_does_not_come_is_not_taken_for_an_empty_one(smi, monkeypatch, tmp_path):
    smi("")
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    monkeypatch.setattr(cards, "SILENT", 0.2)
    with pytest.raises(
        RuntimeError, match=r"found no answer in 0\.2 s; mend the driver, or name the GPUs in CUDA_VIS"
    ):
        found()


def test_locks_are_not_looked_for_where_another_user_put_a_link(two, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "locks").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(cards, "_folder", lambda: tmp_path / "locks")
    with pytest.raises(RuntimeError, match="found another user's; have it removed"), own_cards(1):
        pass


def test_jobs_side_by_side_have_cards_of_their_own_and_a_third_waits(two, hold):
    first, second = hold(1), hold(1)
    taken = [lines_until_it_has(process)[-1] for process in (first, second)]
    assert sorted(taken) == [f"has {name}" for name in two]
    third = hold(1)
    assert third.stdout.readline().startswith(f"1 of the GPUs {two[0]}, {two[1]}: too few are free")
    first.send_signal(signal.SIGKILL)
    assert lines_until_it_has(third) == [f"GPU {taken[0][4:]}", taken[0]], "it says once that it waits"


def test_a_job_of_two_cards_waits_for_both_and_holds_none_meanwhile(two, hold):
    first = hold(1)
    assert lines_until_it_has(first)[-1] == f"has {two[0]}"
    both = hold(2)
    assert "2 of the GPUs" in both.stdout.readline()
    second = hold(1)
    assert lines_until_it_has(second)[-1] == f"has {two[1]}"
    for process in (first, second):
        process.stdin.close()
    assert lines_until_it_has(both)[-1] == f"has {two[0]},{two[1]}"


def test_a_card_is_taken_as_long_as_a_process_that_was_handed_its_lock_runs(two, hold, monkeypatch):
    monkeypatch.setenv(VISIBLE, two[0])
    killed = hold(1, "with a child")
    lines_until_it_has(killed)
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text(encoding="utf-8")
    killed.kill()
    killed.wait()
    after = hold(1)
    assert "too few are free" in after.stdout.readline()
    os.kill(int(children), signal.SIGKILL)
    assert lines_until_it_has(after)[-1] == f"has {two[0]}"


def test_training_processes_are_handed_the_locks(two):
    handed = []
    started = patch.object(
        launch.subprocess, "Popen", lambda command, **options: handed.append(options) or 1 / 0
    )
    with own_cards(2), started, pytest.raises(ZeroDivisionError):
        launch._run(["accelerate"])
    assert len(handed[0]["pass_fds"]) == 2


def test_each_training_process_has_its_share_of_the_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "10")
    command = launch._command(SimpleNamespace(processes=2, accelerate_config=None), tmp_path)
    assert command[command.index("--num_cpu_threads_per_process") + 1] == "5"


@pytest.mark.parametrize(
    ("threads", "gpus", "workers", "loop", "left"),
    [(5, 0, 4, True, 1), (10, 2, 4, True, 2), (4, 1, 4, True, 1), (3, 1, 0, True, 3), (2, 1, 4, False, 1),
     (4, 0, 4, False, 4)],
)  # fmt: skip
def test_torch_computes_without_the_threads_that_read(
    tmp_path, monkeypatch, threads, gpus, workers, loop, left
):
    """Of a training of two processes each has half of what is left."""
    monkeypatch.delenv(DEALING, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # as Snakemake does
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    snakemake = Snakemake(
        InputFiles(), OutputFiles(), Params(fromdict={"loop": {}} if loop else {}), Wildcards(), threads,
        ResourceList(fromdict={"gpu": gpus}), Log(), {"training": {"workers": workers}}, "any", None,
    )  # fmt: skip
    try:
        with job(snakemake):
            assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (left, str(left))
            command = launch._command(SimpleNamespace(processes=2, accelerate_config=None), tmp_path)
            each = command[command.index("--num_cpu_threads_per_process") + 1]
            assert each == str(max(1, left // 2))
    finally:
        torch.set_num_threads(before)


def test_cards_are_given_back_and_the_environment_is_as_before(two, caplog):
    for _ in range(2):
        with caplog.at_level(logging.INFO), own_cards(1):
            assert os.environ[VISIBLE] == two[0] and len(locks()) == 1
        assert os.environ[VISIBLE] == ",".join(two) and locks() == ()
    assert caplog.messages == [f"GPU {two[0]}"] * 2


def test_fewer_cards_than_asked_for_are_an_error(two):
    with (
        pytest.raises(
            RuntimeError, match=rf"3 GPUs are asked for.*found 2 here: {two[0]}.*training.processes"
        ),
        own_cards(3),
    ):
        raise AssertionError


SNAKEFILE = """
from mmunlearn.workflow.job import deal_cards
deal_cards(workflow)
rule all:
    input: "1.txt", "2.txt"
rule card:
    output: "{n}.txt"
    log: "{n}.log"
    threads: 2
    resources: gpu=1
    script: "card.py"
"""
SCRIPT = """
import os, time
from pathlib import Path
from mmunlearn.workflow.job import job
with job(snakemake) as it:
    Path(f"{it.wildcards['n']}.started").touch()
    while len(list(Path().glob("*.started"))) < 2:
        time.sleep(0.02)
    import torch
    found = f"{os.environ['CUDA_VISIBLE_DEVICES']} {torch.get_num_threads()}"
    it.output[0].write_text(found, encoding="utf-8")
"""


def test_two_jobs_of_snakemake_have_a_card_each(two, tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    (tmp_path / "card.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--resources", "gpu=2", "--quiet", "all"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=120)
    assert sorted((tmp_path / f"{n}.txt").read_text(encoding="utf-8") for n in (1, 2)) == [
        f"{card} 1" for card in two
    ]
    assert "card/1: GPU GPU-" in (tmp_path / "1.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("main", "remote", "before", "after"),
    [
        (True, False, None, "1"),
        (False, True, "1", None),
        (False, False, "1", "1"),
        (False, False, None, None),
    ],
)
def test_a_scheduler_deals_out_the_cards_of_its_jobs_itself(monkeypatch, main, remote, before, after):
    monkeypatch.setenv(DEALING, before) if before else monkeypatch.delenv(DEALING, raising=False)
    deal_cards(SimpleNamespace(is_main_process=main, remote_exec=remote))
    assert os.environ.get(DEALING) == after


WITHOUT_CUDA = """
import sys, torch
def used(*_): sys.exit("CUDA is used before a job has its card")
torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = torch.cuda._lazy_init = used
exec(sys.stdin.read())
"""


def test_no_script_uses_cuda_before_it_has_its_card():
    """They import torch before: CUDA_VISIBLE_DEVICES is read when CUDA is first used."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow_scripts").glob("*.py"))]
    imports = [line for text in texts for line in text.splitlines() if line.startswith(("from ", "import "))]
    command = [sys.executable, "-c", WITHOUT_CUDA]
    subprocess.run(command, input="\n".join(imports), text=True, cwd=ROOT, check=True, timeout=120)
