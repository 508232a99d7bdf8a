"""Starting a training: in this process, or in several by `accelerate launch`.

FSDP and DeepSpeed need GPUs of their own, so no test of ours runs them: the configuration file that names them is
handed to `accelerate launch` as it is.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import torch
import yaml
from pydantic import TypeAdapter

from mmunlearn.records import digest_of, write_text
from mmunlearn.training.settings import Machine

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
TAIL = 30  # lines of a failed launch that its error repeats


def launch(function: Callable[..., None], arguments: Mapping[str, Any], work: Path) -> None:
    """Call `function(**arguments)` in as many processes as `arguments["machine"]` says.

    Several processes are given the arguments as JSON below `work`, read back by the function's own annotations, so
    these must be plain data, paths, or dataclasses of them. Their output goes to this process's log.

    Raises:
        RuntimeError: a process failed; the message ends with its traceback, or the last lines of the output.
        FileNotFoundError: `accelerate_config` does not exist.
    """
    machine: Machine = arguments["machine"]
    if machine.processes <= 1 and machine.accelerate_config is None:
        function(**arguments)
        return
    given = json.dumps(_plain(function, arguments), indent=2, sort_keys=True)
    folder = work / "launch"
    path = folder / f"{digest_of(given)}.json"
    write_text(path, given)
    command = [*_command(machine, folder), "--module", "mmunlearn.training.launch", str(path)]
    logger.info("%d processes: %s", machine.processes, " ".join(command))
    try:
        status, tail = _run(command)
        if status:
            said = [one.read_text(encoding="utf-8") for one in sorted(folder.glob(f"{path.stem}.*.error"))]
            raise RuntimeError(
                f"training in {machine.processes} processes was asked for, but `accelerate launch` ended with status "
                f"{status}. What went wrong follows, the whole output is in the job's log; mend it, or train with "
                f"`training.processes: 1`.\n{(said or [tail])[0].rstrip()}"
            )
    finally:
        for one in folder.glob(f"{path.stem}.*"):
            one.unlink()


def _command(machine: Machine, folder: Path) -> list[str]:
    config = Path(machine.accelerate_config) if machine.accelerate_config else folder / "data_parallel.yaml"
    if (
        machine.accelerate_config is None
    ):  # never whatever `accelerate config` has once left in the user's home
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
    return [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config),
        "--num_processes", str(machine.processes),
    ]  # fmt: skip


def _run(command: list[str]) -> tuple[int, str]:
    """Run a command, its output line by line into the log. Returns its status and the last lines."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
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
    )
    try:
        for line in started.stdout:
            if line.strip():
                tail.append(line.rstrip())
                logger.info(line.rstrip())
        return started.wait(), "\n".join(tail)
    finally:
        if started.poll() is None:
            started.terminate()
            started.wait()


def _plain(function: Callable[..., None], arguments: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(function)
    return {
        "function": f"{function.__module__}:{function.__qualname__}",
        "arguments": {
            name: TypeAdapter(hints[name]).dump_python(value, mode="json")
            for name, value in arguments.items()
        },
    }


def read_call(path: Path) -> tuple[Callable[..., None], dict[str, Any]]:
    """Function and keyword arguments that `launch` has written."""
    given = json.loads(path.read_text(encoding="utf-8"))
    module, name = given["function"].split(":")
    function = getattr(import_module(module), name)
    hints = get_type_hints(function)
    arguments = {
        key: TypeAdapter(hints[key]).validate_python(value) for key, value in given["arguments"].items()
    }
    return function, arguments


def main(path: str) -> None:
    """One of several processes; the first one speaks, and any leaves its traceback beside the arguments."""
    rank = os.environ.get("RANK", "0")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mmunlearn").setLevel(logging.INFO if rank == "0" else logging.ERROR)
    function, arguments = read_call(Path(path))
    try:
        function(**arguments)
    except Exception:
        write_text(Path(path).with_suffix(f".{rank}.error"), traceback.format_exc())
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
