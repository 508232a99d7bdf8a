"""Whether outputs are still what their jobs have written: looked at when a run starts and when a job reads them.

What is not is marked as Snakemake marks the outputs of a killed job, so that the profiles' `rerun-incomplete` has it
made again, and what rests on it, by the first run whose targets need it. What it held is kept before.
"""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmunlearn.files import RecordError, listed
from mmunlearn.receipts import (
    RESULTS,
    cut,
    damage,
    damaged_part,
    forget_receipts,
    found_path,
    keep_found,
    put_back,
    read_receipt,
    receipt_path,
    write_receipts,
)

SNAKEMAKE = Path(".snakemake")
DAMAGED = {"external_jobid": None, "damaged": True}
"""A mark of ours; Snakemake's own have the first key alone."""
LONGEST = 254  # of a part of a record's name
CURE = (
    "it is made again, with what rests on it (alone: the same command with `--forcerun FILE -- FILE`), unless "
    "you put an intact copy there. What was found is kept as FOUND: where that is an edit of yours, let the run end, "
    "copy it back to DAMAGED, remove RECEIPT and run again"
)


@contextmanager
def receipts(inputs: Iterable[Path], outputs: Iterable[Path], rule: str) -> Iterator[None]:
    """Let a job begin with inputs that are what their jobs have written, and say afterwards what it has written.

    Raises:
        RecordError: an input is not; names it, and marks it.
    """
    wrong = {path: found for path in inputs if (found := damage(path))}
    if wrong:
        for path in wrong:
            _mark(path)
        raise RecordError(
            f"Asked for files as their jobs have written them. Found {listed([*wrong.values()])}. Run the same command "
            f"again: {_cure(wrong)}."
        )
    forget_receipts(outputs)
    yield
    write_receipts(outputs, rule)


def look(scale: str) -> list[str]:
    """See at the start of a run, by sizes, which outputs of a scale are damaged, and mark them; a mark goes where the
    file is whole again, or has a receipt no more. Gives what a user is to know.

    A dry run looks, too: its plan is to hold what is made again. Where nothing can be written, nothing is marked.
    """
    if "--unlock" in sys.argv:
        return []
    records, marks = _names("metadata"), _names("incomplete")
    for path in map(_path, marks):
        if _was_being_made_again(path):
            put_back(path)
        elif _is_ours(path) and read_receipt(path) is None:
            _unmark(path)
    damaged, lost = {}, []
    for path, found in cut(RESULTS / scale):
        name = _name(path)
        if found is None and name in marks and _is_ours(path):
            found = damage(path)
            if found is None:
                _unmark(path)
        if found:
            damaged[path] = found
            _mark(path)
        elif name not in records and name not in marks:
            lost.append(path)
    return [*_damaged(damaged), *_lost(lost)]


def _damaged(found: dict[Path, str]) -> Iterator[str]:
    if found:
        yield (
            f"Outputs are not as their jobs wrote them: {listed([*found.values()])}. What this run needs of these "
            f"{len(found)}: {_cure(found)}."
        )


def _cure(found: Iterable[Path]) -> str:
    first = next(iter(found))
    part = damaged_part(first)
    names = {"FILE": first, "FOUND": found_path(part), "DAMAGED": part, "RECEIPT": receipt_path(part)}
    return re.sub("|".join(names), lambda match: str(names[match[0]]), CURE)


def _lost(paths: list[Path]) -> Iterator[str]:
    if paths:
        yield (
            f"Snakemake has no record of {len(paths)} outputs, first {paths[0]}: a change of settings or code does not "
            f"make them again. Put back {SNAKEMAKE}/metadata of the run that has made them, or make them again by "
            "--forcerun. Where a copy has new times, too, finished jobs run again: copy by `cp -a`, or give the same "
            "command with --touch first."
        )


def _was_being_made_again(path: Path) -> bool:
    """Whether a job was killed that made a damaged file again: Snakemake has removed the file, and would not miss it
    where all that rests on it is there."""
    return path.is_relative_to(RESULTS) and not path.exists() and found_path(path).exists()


def _mark(path: Path) -> None:
    place = _place("incomplete", path)
    with suppress(OSError):  # without what was found nothing is made again
        keep_found(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(DAMAGED))


def _unmark(path: Path) -> None:
    with suppress(OSError):
        _place("incomplete", path).unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    try:
        return json.loads(_place("incomplete", path).read_text()) == DAMAGED
    except (OSError, ValueError):
        return False


def _place(kind: str, path: Path) -> Path:
    """Where Snakemake keeps a record of an output."""
    return SNAKEMAKE / kind / _name(path)


def _name(path: Path) -> str:
    """The name of a record: of the output's path, in parts that are folders where it is long."""
    text = urlsafe_b64encode(str(path).encode()).decode()
    parts = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    return "/".join([*(f"@{part}" for part in parts[:-1]), parts[-1]])


def _path(name: str) -> Path:
    """The output of which a record has that name; of a name that Snakemake has not made, one that nobody has."""
    try:
        return Path(urlsafe_b64decode("".join(part.removeprefix("@") for part in name.split("/"))).decode())
    except ValueError:
        return Path(name)


def _names(kind: str) -> set[str]:
    folder = SNAKEMAKE / kind
    return {
        f"{os.path.relpath(parent, folder)}/{name}".removeprefix("./")
        for parent, _, names in os.walk(folder)
        for name in names
    }
