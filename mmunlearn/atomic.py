"""Files and folders that appear whole or not at all.

What is unfinished lies beside its place under a hidden name that says who writes it: `.<name>.<host>-<pid><suffix>`. It
goes when the writer ends, by whatever error; what a killed writer has left goes when the next one comes to that folder.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = socket.gethostname().partition(".")[0] or "localhost"
LEFT = re.compile(r"\.(?P<name>.+)\.(?:(?P<host>[^.]+)-)?(?P<pid>[0-9]+)(?P<suffix>(?:\.[^.]+)?)")
DAY = 86_400  # seconds without a change after which a writer that cannot be looked at counts as dead
_swept: set[Path] = set()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error."""
    path = Path(path)
    temporary = _unfinished(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that replaces it when the block ends without an error."""
    with scratch_folder(folder) as temporary:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which need not exist; it goes with the block."""
    temporary = _unfinished(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """Where this process writes what will be `path`; its folder exists, without what dead writers have left there.

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
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}{path.suffix}")


def _is_left(path: Path) -> bool:
    """Whether a path is the unfinished work of a writer that is dead."""
    match = LEFT.fullmatch(path.name)
    if match is None or not (match["host"] or match["suffix"]):
        return False
    if not match["name"].endswith(match["suffix"]):
        return False
    try:
        unchanged = time.time() - path.lstat().st_mtime > DAY
    except OSError:
        return False
    return unchanged or (match["host"] in (None, HOST) and not _runs(int(match["pid"])))


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
