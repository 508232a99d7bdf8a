"""Starts a training run: in this process, or in several by `accelerate launch`.

FSDP and DeepSpeed need GPUs of their own, so no test of ours runs them: the configuration file that names them is
handed to `accelerate launch` as it is.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import psutil
import torch
import yaml
from pydantic import TypeAdapter

from mmunlearn.atomic import TAG
from mmunlearn.cards import locks
from mmunlearn.interrupts import Stopped, deferring, stopping
from mmunlearn.records import digest_of, write_text
from mmunlearn.training.run import TrainingRun

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
TAIL = 30  # lines of a failed launch that its error repeats
JOB = "MMUNLEARN_JOB"  # machine and number of the process that launches


def launch(function: Callable[..., object], run: TrainingRun, **arguments: Any) -> None:
    """Call `function(run, **arguments)` in as many processes as the run says.

    Several processes are given the arguments as JSON below `run.work`, read back by the run's class and the function's
    annotations, so these must be plain data, paths, or dataclasses of them. Their output goes to this process's log.

    Raises:
        RuntimeError: a process failed; the message ends with its traceback, or the last lines of the output.
        Stopped: a signal asked for it; the processes have ended their step and kept a checkpoint.
        FileNotFoundError: `accelerate_config` does not exist.
    """
    if run.processes <= 1 and run.accelerate_config is None:
        function(run, **arguments)
        return
    logger.info("run %s", run.identity)  # whose checksums the processes then find
    call = json.dumps(plain_call(function, run, arguments), indent=2, sort_keys=True)
    folder = run.work / "launch"
    path = folder / f"{digest_of(call)}.json"
    write_text(path, call)
    command = [*_command(run, folder), "--module", "mmunlearn.training.launch", str(path)]
    logger.info("%d processes: %s", run.processes, " ".join(command))
    try:
        status, tail, number = _run(command)
        if number is not None:
            raise Stopped(
                number, *(left.read_text(encoding="utf-8") for left in folder.glob(f"{path.stem}.stopped"))
            )
        if status:
            errors = [
                error.read_text(encoding="utf-8") for error in sorted(folder.glob(f"{path.stem}.*.error"))
            ]
            raise RuntimeError(
                f"training in {run.processes} processes was asked for, but `accelerate launch` ended with status "
                f"{status}. What went wrong follows, the whole output is in the job's log; mend it, or train with "
                f"`training.processes: 1`.\n{(errors or [tail])[0].rstrip()}"
            )
    finally:
        for left in folder.glob(f"{path.stem}.*"):
            left.unlink()


def _command(run: TrainingRun, folder: Path) -> list[str]:
    config = Path(run.accelerate_config or folder / "data_parallel.yaml")
    if run.accelerate_config is None:  # never whatever `accelerate config` has once left in the user's home
        plain = {
            "compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU", "num_machines": 1,
            "machine_rank": 0, "main_process_port": 0, "mixed_precision": "no", "use_cpu": False,
        }  # fmt: skip
        write_text(config, yaml.safe_dump(plain))
    if not config.exists():
        raise FileNotFoundError(
            f"training.accelerate_config asks for {config}, which does not exist; write it by "
            f"`accelerate config --config_file {config}`, or set the key to null for plain data parallel training"
        )
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)  # what Snakemake gives the job
    return [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config),
        "--num_processes", str(run.processes), "--num_cpu_threads_per_process", str(max(1, threads // run.processes)),
    ]  # fmt: skip


def _run(command: list[str]) -> tuple[int, str, int | None]:
    """Run a command, its output line by line into the log. Returns its status, the last lines, and the signal by which
    it was asked to stop, if any.

    It has a session of its own, as `accelerate launch` ends its processes on a signal; they alone are told of one."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        JOB: f"{TAG} {os.getpid()}",
    }
    if not torch.cuda.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
    tail: deque[str] = deque(maxlen=TAIL)
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
        pass_fds=locks(),  # their GPUs are taken as long as they run, should this process be killed
    )
    try:
        with deferring(lambda: _tell(started.pid, signal.SIGTERM)) as request:
            for line in started.stdout:
                if line.strip():
                    tail.append(line.rstrip())
                    logger.log(logging.DEBUG if request else logging.INFO, "%s", tail[-1])
            return started.wait(), "\n".join(tail), request.number
    finally:
        if started.poll() is None:
            _tell(started.pid, signal.SIGKILL)
            started.kill()
            started.wait()


def _tell(pid: int, number: int) -> None:
    """Send a signal to all that a process has started."""
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def end_with(pid: int) -> None:
    """Have this process end when another one does: a job that was killed holds no claim, and the next one trains."""

    def wait() -> None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def plain_call(
    function: Callable[..., object], run: TrainingRun, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """A call as plain data, which `read_call` turns back."""
    types = get_type_hints(function)
    return {
        "function": _path(function),
        "class": _path(type(run)),
        "run": TypeAdapter(type(run)).dump_python(run, mode="json"),
        "arguments": {
            name: TypeAdapter(types[name]).dump_python(value, mode="json")
            for name, value in arguments.items()
        },
    }


def read_call(path: Path) -> tuple[Callable[..., object], TrainingRun, dict[str, Any]]:
    """Function, run and further arguments that `launch` has written."""
    call = json.loads(path.read_text(encoding="utf-8"))
    function, cls = _named(call["function"]), _named(call["class"])
    types = get_type_hints(function)
    arguments = {
        name: TypeAdapter(types[name]).validate_python(value) for name, value in call["arguments"].items()
    }
    return function, TypeAdapter(cls).validate_python(call["run"]), arguments


def _path(named: Any) -> str:
    return f"{named.__module__}:{named.__qualname__}"


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)


def main(path: str) -> None:
    """One of several processes; the first one logs, and any leaves its traceback beside the arguments, or what it says
    when it is told to stop."""
    machine, pid = os.environ[JOB].split()
    if machine == TAG:
        end_with(int(pid))
    rank = os.environ.get("RANK", "0")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mmunlearn").setLevel(logging.INFO if rank == "0" else logging.ERROR)
    function, run, arguments = read_call(Path(path))
    try:
        with stopping():
            function(run, **arguments)
    except Stopped as stopped:
        if rank == "0":
            write_text(Path(path).with_suffix(".stopped"), stopped.message)
        raise SystemExit(stopped.status) from None
    except Exception:
        write_text(Path(path).with_suffix(f".{rank}.error"), traceback.format_exc())
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
