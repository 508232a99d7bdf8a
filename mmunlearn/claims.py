"""Claims of jobs on what they make: two that make the same never do so at one time, on whatever hosts they run.

A claim is a file that says who holds it. It is made by a hard link, which NFS does once for one of several, and goes
with the job. What a killed job has left is broken by rule, the first of these that says anything:

1. on this machine: whether the process runs that made it;
2. under Slurm: it is of this very job before it was requeued, or `squeue` no longer knows its job as active; and it has
   not been touched for ENDED seconds, as a process may live on where its node cannot be reached;
3. anywhere: its holder touches it every BEAT seconds, and has not for SILENT seconds; ACTIVE seconds where Slurm says
   that its job runs, and never where Slurm has suspended it.

Silence is what those who wait have seen of it: clocks of two hosts are never compared, and no time counts in which the
one who waits could not look.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_type_hints

from mmunlearn.atomic import HOST, MACHINE, scratch_folder

BEAT = 30.0
ENDED = BEAT + 10
SILENT = 300.0
ACTIVE = 1800.0
PAUSE = 1.0
"""Seconds between two looks at a claim that is held."""
SAY = 60.0
"""Seconds between two messages, and between two questions to Slurm."""
RUNNING = {"COMPLETING", "CONFIGURING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT"}
SUSPENDED = {"STOPPED", "SUSPENDED"}
"""States in which Slurm's jobs may still write, and in which they will."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        machine: its boot and its namespace of processes; two with equal ones see each other's processes.
        started: of the process, as text; a later one of its number has another.
        slurm_job: empty outside Slurm.
        since: date and time.
        restarts: how often Slurm had requeued the job.
    """

    host: str
    machine: str
    pid: int
    started: str
    slurm_job: str
    since: str
    restarts: int = 0

    def __str__(self) -> str:
        slurm = f", Slurm job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.pid} on {self.host}{slurm}, since {self.since}"

    @property
    def remedy(self) -> str:
        if self.slurm_job:
            return f"`scancel {self.slurm_job}`"
        own = self.machine == MACHINE  # after a new start of its machine the number may be another's
        return f"`kill {self.pid}` on {self.host}" if own else f"end it on {self.host}"


@contextmanager
def claim(path: Path, what: Path | None = None) -> Iterator[None]:
    """Hold a claim while the block runs. Where another holds it, wait until it is let go or broken, and say so.

    Args:
        path: of the claim, in a folder that all who may claim the same see.
        what: is claimed, for messages.
    """
    me = _me()
    mine = json.dumps(asdict(me), indent=2) + "\n"
    _take(path, me, mine, what or path)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, mine, done), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        if _look(path)[0] == mine:
            path.unlink(missing_ok=True)


def _take(path: Path, me: Holder, mine: str, what: Path) -> None:
    """Make the claim, as soon as nobody holds it who lives."""
    seen, quiet, looked, said, limit = ("", 0), 0.0, time.monotonic(), float("-inf"), SILENT
    while True:
        found = text, _ = _look(path)
        if text is None:
            if _link(path, mine):
                return
        else:
            now, holder = time.monotonic(), _read(text)
            quiet = quiet + min(now - looked, 3 * PAUSE) if found == seen else 0.0
            say = text != seen[0] or now - said >= SAY
            seen, looked = found, now
            if say:
                limit = _patience(holder.slurm_job) if holder and holder.slurm_job else SILENT
            end = _end(holder, me, limit, quiet)
            if end:
                _break(path, text, f"{what} was claimed by {holder or 'an unreadable file'}: {end}")
                continue
            if say:
                said = time.monotonic()
                logger.info(
                    "%s is being made by %s: waiting for it, to take what it has finished. If it is to end, %s; the "
                    "claim is %s, which is broken by itself when that job is dead",
                    what, holder or "an unreadable file", holder.remedy if holder else f"`rm {path}`", path,
                )  # fmt: skip
        time.sleep(PAUSE)


def _end(holder: Holder | None, me: Holder, limit: float, quiet: float) -> str | None:
    """Why a holder who has been quiet counts as dead; None while it may live. `limit` is Slurm's."""
    if holder is not None and holder.machine == me.machine:
        return None if _started(holder.pid) == holder.started else "that process has ended"
    if holder is not None and holder.slurm_job == me.slurm_job and holder.restarts < me.restarts:
        return "this job was requeued" if quiet >= ENDED else None
    if quiet < limit:
        return None
    return "Slurm's job has ended" if limit == ENDED else f"no sign of life for {limit:g} s"


def _break(path: Path, text: str, why: str) -> None:
    """Remove a dead holder's claim: one of those who wait does, and no claim that was made since."""
    with claim(path.with_name(f"{path.name}.break")):
        if _look(path)[0] == text:
            logger.warning("%s; the claim %s is broken", why, path)
            path.unlink(missing_ok=True)


def _link(path: Path, text: str) -> bool:
    """Make a claim; False where another was first. An answer that NFS has lost shows in the number of links."""
    with scratch_folder(path) as folder:
        own = folder / path.name
        own.write_text(text, encoding="utf-8")
        try:
            os.link(own, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                return False
            return True
        return own.stat().st_nlink == 2


def _look(path: Path) -> tuple[str | None, int]:
    """Text of a claim and when it was last touched; None where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return None, 0


def _read(text: str) -> Holder | None:
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = get_type_hints(Holder)
    return holder if all(isinstance(value, kinds[name]) for name, value in asdict(holder).items()) else None


def _beat(path: Path, mine: str, done: threading.Event) -> None:
    """Touch a claim until the job is done. Should it be another's, as after a long sleep of this machine, end the job
    as it is: any order in its end would write into the other's files. `launch` has its processes end with it."""
    while not done.wait(BEAT):
        try:
            text = _look(path)[0]
            if text is None and not _link(path, mine):  # NFS may have it and say that it has not
                text = _look(path)[0]
            other = _read(text or "")
            if text == mine or other is None:
                os.utime(path)
                continue
        except OSError:  # a file server that does not answer for a while
            continue
        logger.error("%s was broken, and %s holds it now: this job ends at once", path, other)
        os._exit(1)


def _me() -> Holder:
    pid, now = os.getpid(), datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    job, restarts = os.environ.get("SLURM_JOB_ID", ""), int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    return Holder(HOST, MACHINE, pid, _started(pid) or "", job, now, restarts)


def _started(pid: int) -> str | None:
    """When a process of this machine started; None where there is none, or what is left of one that has ended."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return shown.stdout.strip() or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]  # fields 3 and 22 of proc(5)


def _patience(job: str) -> float:
    """Seconds of silence after which a process of Slurm's job counts as dead."""
    try:
        shown = subprocess.run(
            ["squeue", "--states=all", "-h", "-j", job, "-o", "%T"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SAY,
            env={key: value for key, value in os.environ.items() if not key.startswith("SQUEUE_")},
        )
    except (OSError, subprocess.TimeoutExpired):
        return SILENT
    states = set(shown.stdout.split())
    if states & SUSPENDED:
        return math.inf
    if states & RUNNING:
        return ACTIVE
    return ENDED if states or "Invalid job id" in shown.stderr else SILENT
