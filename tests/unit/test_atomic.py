"""Files and folders appear whole or not at all, and nothing of a killed writer stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmunlearn import atomic
from mmunlearn.atomic import atomic_folder, atomic_path, scratch_folder

WRITER = """
import sys, time
from pathlib import Path
from mmunlearn import atomic
from mmunlearn.interrupts import stopping
with stopping(), getattr(atomic, sys.argv[1])(Path(sys.argv[2])) as temporary:
    (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
    print("writes", flush=True)
    time.sleep(60)
"""
KINDS = ("atomic_path", "atomic_folder", "scratch_folder")


def killed(kind: str, path: Path, number: int) -> list[str]:
    """Names in the folder after a writer was killed in the middle of its work."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, str(path)], stdout=subprocess.PIPE, stderr=-3
    )
    assert writer.stdout.readline() == b"writes\n"
    writer.send_signal(number)
    assert writer.wait() != 0
    writer.stdout.close()
    return sorted(one.name for one in path.parent.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_leaves_nothing_and_sigkill_nothing_that_the_next_writer_does_not_remove(tmp_path, kind):
    path = tmp_path / "big.safetensors"
    assert killed(kind, path, signal.SIGTERM) == []
    assert len(killed(kind, path, signal.SIGKILL)) == 1
    with getattr(atomic, kind)(path) as temporary:
        assert [one for one in tmp_path.iterdir() if one != temporary] == []
        temporary.touch()
    assert len(killed(kind, path, signal.SIGKILL)) == 1 + path.exists()
    with atomic_path(
        tmp_path / "another.json"
    ) as temporary:  # this process has looked the folder through already
        temporary.write_text("{}")
    with atomic_path(tmp_path / "another.json") as temporary:
        temporary.write_text("[]")
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


DEAD = 2**22 + 1  # above the largest number of a process


@pytest.mark.parametrize(
    ("name", "days", "goes"),
    [
        (f".a.json.{atomic.HOST}-{DEAD}.json", 0, True),
        (f".b.safetensors.{atomic.HOST}-{DEAD}.safetensors", 0, True),  # of another file
        (f".adapter.{atomic.HOST}-{DEAD}", 0, True),
        (f".a.json.{DEAD}.json", 0, True),  # as earlier releases called it
        (f".a.json.{atomic.HOST}-{os.getppid()}.json", 0, False),  # its writer lives
        (f".a.json.elsewhere-{DEAD}.json", 0, False),  # no one here can tell
        (f".a.json.elsewhere-{DEAD}.json", 2, True),
        (f".a.json.{atomic.HOST}-{os.getppid()}.json", 2, True),  # another process has its number now
        (f"a.json.{atomic.HOST}-{DEAD}.json", 2, False),
        (f".cache.{DEAD}", 2, False),
        (".tiny.revision", 2, False),
        (f".a.txt.{DEAD}.json", 2, False),
    ],
)
def test_only_what_a_dead_writer_has_left_goes(tmp_path, name, days, goes):
    left = tmp_path / name
    left.write_text("half")
    os.utime(left, (left.stat().st_atime, left.stat().st_mtime - 86_400 * days))
    with atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    assert left.exists() != goes
    assert (tmp_path / "a.json").read_text() == "{}"


def test_a_folder_is_replaced_as_a_whole_and_an_error_leaves_the_old_one(tmp_path):
    folder = tmp_path / "adapter"
    with atomic_folder(folder) as temporary:
        (temporary / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as temporary:
        (temporary / "new").write_text(str(1 / 0))
    assert [one.name for one in folder.iterdir()] == ["old"]
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [one.name for one in folder.iterdir()] == ["new"]
    with scratch_folder(folder) as temporary:
        (temporary / "x").touch()
    assert [one.name for one in tmp_path.iterdir()] == ["adapter"]
