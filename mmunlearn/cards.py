"""Cards of one machine: jobs that run side by side have GPUs of their own.

A card is taken by the lock of a file, one for this user's workflows on a machine. The kernel frees it with the last
process that holds it, so a job that is killed leaves none taken. The launcher of several training processes holds it,
too (`locks`): should the job die and the launcher live, its cards stay taken.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Read when CUDA is first used, not when torch is imported."""
PAUSE = 1.0
"""Seconds between two looks at cards that are taken."""
SILENT = 60.0
"""Seconds that nvidia-smi may take."""
LISTED = re.compile(r"(?:GPU (?P<number>\d+):|\s+MIG) .*\(UUID: (?P<uuid>[^)]+)\)")
_locks: list[int] = []


def locks() -> tuple[int, ...]:
    """File descriptors of the cards that this process has taken, for processes that may outlive it."""
    return tuple(_locks)


@contextmanager
def own_cards(number: int) -> Iterator[None]:
    """Take so many cards while the block runs: this process, and those that it starts, see no others.

    They are of CUDA_VISIBLE_DEVICES, or all that `nvidia-smi` lists. Where all are taken it waits, and says so once.
    Without any card nothing happens.

    Raises:
        RuntimeError: the machine has fewer.
    """
    cards = found() if number else {}
    if not cards:
        if number:
            logger.warning(
                "%d GPUs are asked for; found none in %s or by nvidia-smi -L: the job takes what torch finds, as "
                "others may", number, VISIBLE,
            )  # fmt: skip
        yield
        return
    if number > len(cards):
        raise RuntimeError(
            f"{number} GPUs are asked for by this job; found {len(cards)} here: {', '.join(cards)}; ask for as many "
            f"(training.processes and the `gpu` of a `job` in the configuration), or show more by {VISIBLE}"
        )
    before, taken = os.environ.get(VISIBLE), _take(cards, number)
    logger.info("GPU %s", ", ".join(taken))
    os.environ[VISIBLE] = ",".join(taken)
    _locks.extend(taken.values())
    try:
        yield
    finally:
        os.environ.pop(VISIBLE) if before is None else os.environ.update({VISIBLE: before})
        for lock in taken.values():
            _locks.remove(lock)
            os.close(lock)


def found() -> dict[str, str]:
    """The cards of this machine, as CUDA is told of them -> a name for each that does not depend on who tells: the UUID
    where `nvidia-smi` knows it. Of a card in MIG mode its parts count."""
    uuids = _listed()
    told = os.environ.get(VISIBLE)
    if told is None:
        divided = {number for number, uuid in uuids if uuid.startswith("MIG")}
        return {uuid: uuid for number, uuid in uuids if number not in divided or uuid.startswith("MIG")}
    cards = {}
    for name in map(str.strip, told.split(",")):
        if not re.match(
            r"\d|GPU-|MIG-", name
        ):  # CUDA heeds nothing behind a name that it does not know, such as -1
            break
        known = (uuid for number, uuid in uuids if name == number or uuid.startswith(name))
        cards[name] = next(known, name)
    return cards


def _listed() -> list[tuple[str, str]]:
    """Number and UUID of every card, and of the parts of one in MIG mode, as `nvidia-smi -L` prints them; no CUDA."""
    try:
        printed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, errors="replace", timeout=SILENT
        )
    except OSError:
        return []
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(
            f"nvidia-smi -L was asked for this machine's GPUs; found no answer in {error.timeout:g} s; mend the "
            f"driver, or name the GPUs in {VISIBLE}"
        ) from error
    listed: list[tuple[str, str]] = []
    for match in filter(None, map(LISTED.match, printed.stdout.splitlines())):
        number = match["number"] or (listed[-1][0] if listed else None)
        if number is not None:  # a part stands below its GPU
            listed.append((number, match["uuid"]))
    return listed


def _take(cards: Mapping[str, str], number: int) -> dict[str, int]:
    """Lock so many cards, all or none, so that no two jobs wait for each other's. Returns their locks by name."""
    waiting = False
    while True:
        taken: dict[str, int] = {}
        for card, name in cards.items():
            lock = _lock(name) if len(taken) < number else None
            if lock is not None:
                taken[card] = lock
        if len(taken) == number:
            return taken
        for lock in taken.values():
            os.close(lock)
        if not waiting:
            logger.info(
                "%d of the GPUs %s: too few are free of other jobs; waiting (`fuser %s/*` lists these jobs)",
                number, ", ".join(cards), _folder(),
            )  # fmt: skip
        waiting = True
        time.sleep(PAUSE * random.SystemRandom().uniform(0.5, 1.5))


def _lock(name: str) -> int | None:
    """The open, locked file of a card; None where another process holds it."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RuntimeError(
            f"{folder} is asked for, where locks of GPUs lie; found another user's; have it removed"
        )
    path = folder / f"{name.replace('/', '_')}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.utime(lock)  # what cleans /tmp leaves recent files alone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _folder() -> Path:
    """In a place that all workflows of a user on a machine have in common, and no other machine shares."""
    return Path("/tmp") / f"mmunlearn-cards-{os.getuid()}"
