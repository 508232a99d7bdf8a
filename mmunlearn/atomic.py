"""Files and folders that appear whole or not at all.

What is unfinished lies beside its place under a hidden name that says who writes it: `.<name>.<machine>-<pid><suffix>`.
It goes when the writer ends, by whatever error; what a killed writer has left goes when the next one comes to that
folder, or when the next run starts (`sweep`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = socket.gethostname().partition(".")[0] or "localhost"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return HOST


MACHINE = _machine()
"""This boot and this namespace of processes: two with equal ones see each other's processes. Containers may share the
name of a host."""
TAG = hashlib.sha256(MACHINE.encode()).hexdigest()[:8]
"""Of the machine, in names of files."""
LEFT = re.compile(r"\.(?P<name>.+)\.(?:(?P<machine>[^.]+)-)?(?P<pid>[0-9]+)(?P<suffix>(?:\.[^.]+)?)")
DAY = 86_400  # seconds without a change after which a writer that cannot be looked at counts as dead
FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = 2**16  # bytes; where fewer are free, an error while writing is one of a full disk, whatever it says
_swept: set[Path] = set()


class DiskFullError(OSError):
    """No room on a disk, or in a quota; the message says for what, and what to do."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    Raises:
        DiskFullError: there is no room.
    """
    path = Path(path)
    temporary = _unfinished(path)
    try:
        with full_disk_named(path):
            _prepare(path)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that replaces it when the block ends without an error.

    Raises:
        DiskFullError: there is no room.
    """
    with scratch_folder(folder) as temporary:
        yield temporary
        while not _moved(temporary, folder):
            with scratch_folder(folder.with_name(f"{folder.name}.old")) as old, suppress(FileNotFoundError):
                folder.rename(old / folder.name)


@contextmanager
def first_folder(folder: Path, sound: Callable[[], bool]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, for what several processes may make at one time: who is first gives it its
    place when the block ends without an error.

    No file of a folder that is there ever vanishes, as others read it: of one that is not sound each is replaced, in
    the order of their names.

    Args:
        sound: whether the folder that is there is whole.
    Raises:
        DiskFullError: there is no room.
    """
    with scratch_folder(folder) as temporary:
        yield temporary
        if not _moved(temporary, folder) and not sound():
            for path in sorted(temporary.iterdir()):
                path.replace(folder / path.name)


def _moved(temporary: Path, folder: Path) -> bool:
    """Give a folder its place, unless one is there already."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which need not exist; it goes with the block.

    Raises:
        DiskFullError: there is no room.
    """
    temporary = _unfinished(folder)
    try:
        with full_disk_named(folder):
            _prepare(folder)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """What libraries raise inside the block when a disk is full names neither place nor cure; this says both.

    Raises:
        DiskFullError: in place of any such error.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        near = next(one for one in path.absolute().parents if one.is_dir())
        usage = shutil.disk_usage(near)
        texts = map(os.strerror, FULL)  # as libraries in other languages quote them, without a number
        if not (
            usage.free < ROOM
            or getattr(error, "errno", None) in FULL
            or any(text in str(error) for text in texts)
        ):
            raise
        raise DiskFullError(
            f"Asked for room for {path}. Found none left: {usage.free:,} of {usage.total:,} bytes are free on the disk "
            f"of {near}, or a quota of bytes or files is used up ({error}). Free some, then run the same command "
            "again: what is finished is kept, and nothing is left half written."
        ) from error


def sweep(*folders: str | Path) -> None:
    """Remove what dead writers have left anywhere below folders."""
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            for left in [Path(parent, name) for name in (*inner, *names) if name.startswith(".")]:
                if _is_left(left):
                    _remove(left)


def _unfinished(path: Path) -> Path:
    """Where this process writes what will be `path`."""
    return path.with_name(f".{path.name}.{TAG}-{os.getpid()}{path.suffix}")


def _prepare(path: Path) -> None:
    """Have the folder of `path`, without what dead writers have left there.

    A folder is looked through when this process first writes to it, and when a file is written anew: stores get
    thousands of new ones.
    """
    parent = path.parent
    parent.mkdir(parents=True, exist_ok=True)
    if parent.resolve() not in _swept or path.exists():
        _swept.add(parent.resolve())
        for left in parent.iterdir():
            if left.name.startswith(".") and _is_left(left):
                _remove(left)


def _is_left(path: Path) -> bool:
    """Whether a path is the unfinished work of a writer that is dead."""
    match = LEFT.fullmatch(path.name)
    if match is None or not (match["machine"] or match["suffix"]):
        return False
    if not match["name"].endswith(match["suffix"]):
        return False
    try:
        unchanged = time.time() - max(one.lstat().st_mtime for one in (path, *path.rglob("*"))) > DAY
    except OSError:
        return False
    return unchanged or (match["machine"] in (None, HOST, TAG) and not _runs(int(match["pid"])))


def _runs(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
