"""Files and folders appear whole or not at all, and nothing of a killed writer stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmunlearn import atomic
from mmunlearn.atomic import DiskFullError, atomic_folder, atomic_path, first_folder, scratch_folder, sweep

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
        (f".a.json.{atomic.TAG}-{DEAD}.json", 0, True),
        (f".b.safetensors.{atomic.TAG}-{DEAD}.safetensors", 0, True),  # of another file
        (f".adapter.{atomic.TAG}-{DEAD}", 0, True),
        (f".a.json.{DEAD}.json", 0, True),  # as earlier releases called it
        (f".a.json.{atomic.HOST}-{DEAD}.json", 0, True),
        (f".a.json.{atomic.TAG}-{os.getppid()}.json", 0, False),  # its writer lives
        (f".a.json.elsewhere-{DEAD}.json", 0, False),  # no one here can tell
        (f".a.json.elsewhere-{DEAD}.json", 2, True),
        (f".a.json.{atomic.TAG}-{os.getppid()}.json", 2, True),  # another process has its number now
        (f"a.json.{atomic.TAG}-{DEAD}.json", 2, False),
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


def test_containers_of_one_host_name_leave_each_others_files(tmp_path):
    """Their processes have the same numbers, and cannot be seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "TAG", "another", raising=False)
        patch.setattr(os, "getpid", lambda: DEAD)
        other = atomic._unfinished(tmp_path / "a.json")
    other.touch()
    sweep(tmp_path)
    assert other.exists()
    mine = atomic._unfinished(tmp_path / ("a" * 200 + ".json")).name
    assert len(mine) <= 232 and atomic.LEFT.fullmatch(mine)["machine"] == atomic.TAG


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


def test_two_processes_that_replace_a_folder_at_one_time_both_succeed(tmp_path):
    """Today's other one comes between: the last one stays, whole."""
    folder = tmp_path / "adapter"
    with atomic_folder(folder) as mine:
        (mine / "mine").touch()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: DEAD)
            with atomic_folder(folder) as other:
                (other / "other").touch()
    assert [one.name for one in folder.iterdir()] == ["mine"]
    assert [one.name for one in tmp_path.iterdir()] == ["adapter"]


def test_what_comes_between_two_moves_goes_as_well(tmp_path, monkeypatch):
    folder, rename, calls = tmp_path / "adapter", Path.rename, []

    def between(self, target):
        done = rename(self, target)
        calls.append(target)
        if target.parent.name.startswith(".adapter.old") and len(calls) < 4:  # the place is free for a moment
            folder.mkdir()
            (folder / "other").touch()
        return done

    folder.mkdir()
    (folder / "old").touch()
    monkeypatch.setattr(Path, "rename", between)
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [one.name for one in folder.iterdir()] == ["new"] and len(calls) > 2


@pytest.mark.parametrize(("sound", "texts"), [(True, ["first", "first"]), (False, ["second", "second"])])
def test_the_first_sound_folder_stays_and_none_ever_vanishes(tmp_path, sound, texts):
    folder = tmp_path / "unit"
    for text in ("first", "second"):
        with first_folder(folder, lambda: sound) as temporary:
            assert folder.exists() == (text == "second")
            for name in "ab":
                (temporary / name).write_text(text)
        if text == "first":
            before = folder.stat().st_ino
    assert [(folder / name).read_text() for name in "ab"] == texts and folder.stat().st_ino == before
    assert [one.name for one in tmp_path.iterdir()] == ["unit"]


@pytest.mark.parametrize(
    ("error", "free", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2**30, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2**30, True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2**30, True),  # safetensors
        (OSError("1024 requested and 200 written"), 4096, True),  # numpy
        (OSError("1024 requested and 200 written"), 2**30, False),
        (ValueError("a loss that is not finite"), 2**30, False),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_told_with_its_place_and_cure(tmp_path, monkeypatch, kind, error, free, is_full):
    monkeypatch.setattr(
        atomic.shutil, "disk_usage", lambda path: atomic.shutil._ntuple_diskusage(2**40, 0, free)
    )
    path = tmp_path / "models" / "adapter"
    with pytest.raises(DiskFullError if is_full else type(error)) as told, getattr(atomic, kind)(path):
        raise error
    if is_full:
        assert str(told.value).startswith(
            f"Asked for room for {path}. Found none left: {free:,} of 1,099,511,627,776"
        )
        assert f"of {path.parent}," in str(told.value) and str(error) in str(told.value)
        assert "Free some, then run the same command again" in str(told.value)
        assert told.value.__cause__ is error
    assert list(path.parent.iterdir()) == []


def test_what_dead_writers_have_left_is_swept_from_all_folders(tmp_path):
    """Also where nobody writes any more; what a long job works in stays, however old the folder itself is."""
    gone = [f"work/draws/x/.u.{atomic.TAG}-{DEAD}/a.png", f"results/a/b/.a.json.{atomic.TAG}-{DEAD}.json"]
    gone.append(f"results/.c.elsewhere-{DEAD}/d")
    stays = [
        f"work/.run.elsewhere-{DEAD}/step-1/adapter",
        f"work/.a.{atomic.TAG}-{os.getpid()}/b",
        "work/.c/d",
    ]
    for name in (*gone, *stays):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    for name in (gone[2], f"work/.run.elsewhere-{DEAD}"):
        os.utime(tmp_path / name, (0, 0))
    os.utime((tmp_path / gone[2]).parent, (0, 0))
    sweep(tmp_path / "work", tmp_path / "results", tmp_path / "nowhere")
    assert [name for name in (*gone, *stays) if (tmp_path / name).exists()] == stays
