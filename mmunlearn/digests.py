"""Checksums of files that may be hundreds of GB: read once, known by size and time of change ever after.

They are kept below `work/`, a JSON for each place that was asked for: neither the many processes of a run nor the next
run reads a model again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from mmunlearn.progress import progress
from mmunlearn.records import digest_of, sha256_of, write_text

STORE = Path("digests")
"""Of the checksums, below the folder of work."""
SMALL = 8_000_000
"""Bytes up to which a place is read anew each time."""
LARGE = 1_000_000_000
"""Bytes from which reading shows its progress."""
FRESH = 2_000_000_000
"""Nanoseconds: a file that was changed so lately may still be written to, within one tick of the clock."""
Known = Callable[[str, os.stat_result], str | None]


def checksums(
    files: Mapping[str, Path], store: Path, known: Known = lambda name, status: None
) -> dict[str, str]:
    """SHA-256 of files by name, in the order of the names.

    Args:
        files: of one place: a model's folder, a collection.
        store: folder of what was computed before.
        known: a checksum by name and size that something else vouches for, or None.
    """
    paths = {name: Path(path) for name, path in sorted(files.items())}
    before = {name: path.stat() for name, path in paths.items()}
    if sum(status.st_size for status in before.values()) <= SMALL:
        return {name: sha256_of(path) for name, path in paths.items()}
    place = os.path.commonpath([path.absolute() for path in paths.values()])
    record = store / f"{digest_of(place)}.json"
    rows = _read(record)
    keys = {name: os.path.relpath(path, place) for name, path in paths.items()}
    unread = [name for name in paths if rows.get(keys[name], [])[:2] != _stamp(before[name])]
    found, new = {}, {}
    show = sum(before[name].st_size for name in unread) > LARGE
    for name in progress(unread, f"checksums of {place}", unit="file") if show else unread:
        path, stamp = paths[name], _stamp(before[name])
        found[name] = known(name, before[name]) or sha256_of(path)
        if _stamp(path.stat()) == stamp and time.time_ns() - stamp[1] > FRESH:
            new[keys[name]] = [*stamp, found[name]]
    if new:
        with suppress(OSError):  # where nothing can be written, they are read again
            write_text(record, json.dumps(rows | new))
    return {name: found.get(name) or rows[keys[name]][2] for name in paths}


def tree(folder: Path) -> dict[str, Path]:
    """The files of a folder by their relative names, also behind links; without hidden ones, broken links and notes."""
    found = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() != ".md" and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return found


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns]


def _read(record: Path) -> dict[str, list]:
    """Name -> size, time of change and checksum; nothing where the record is missing or damaged."""
    try:
        rows = json.loads(record.read_text(encoding="utf-8"))
        return {name: row for name, row in rows.items() if [type(one) for one in row] == [int, int, str]}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
