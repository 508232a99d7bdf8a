"""What finished jobs have written, so that a file that was cut, changed or lost since is not read as if it were whole.

`results/.receipts/<path below results>.json` stands beside the results, travels with them, and says of one output its
size, SHA-256, rows (of JSON lines), rule and time of change. A file without one, as of an earlier release, is not
compared; neither is one that is not below `results/`. What a damaged file held lies beside its receipt, as `<path below
results>.found`, until the file is found damaged another time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mmunlearn.atomic import atomic_path
from mmunlearn.records import sha256_of, write_text

RESULTS = Path("results")
FOLDER = RESULTS / ".receipts"
SMALL = 8_000_000
"""Bytes up to which a file is read whenever it is compared; a larger one is known by size and time of change."""
TOGETHER = {"adapter_model.safetensors": ("adapter_config.json",)}
"""File -> files of its folder that are read with it, though rules name it alone."""


@dataclass(frozen=True)
class Receipt:
    """Of one output: `size` in bytes, `rows` of JSON lines (else None), the `rule` that has written it, and when it was
    `changed`, in nanoseconds."""

    size: int
    sha256: str
    rows: int | None
    rule: str
    changed: int


def write_receipts(outputs: Iterable[Path], rule: str) -> None:
    """Say what a job that has just ended well has written."""
    for path in outputs:
        place = receipt_path(path)
        if place is not None and path.is_file():
            status = path.stat()
            receipt = Receipt(status.st_size, sha256_of(path), _rows(path), rule, status.st_mtime_ns)
            write_text(place, json.dumps(asdict(receipt)))


def forget_receipts(outputs: Iterable[Path]) -> None:
    """Before a job writes these outputs anew: what it leaves when it is killed is nobody's."""
    for path in outputs:
        if place := receipt_path(path):
            if place.is_dir():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """What is wrong with a file, or with one that is read with it; None where nothing is, or nothing is known."""
    for one, receipt, found in _differences(path):
        return f"{one}: {found}; rule {receipt.rule} has written {_described(receipt)}"
    return None


def keep_found(path: Path) -> None:
    """Keep what a damaged file holds, and what those hold that are read with it: it may be somebody's edit.

    Raises:
        OSError: there is no room, or nothing can be written.
    """
    for one, *_ in _differences(path):
        place = found_path(one)
        if one.is_file() and not (place.exists() and place.samefile(one)):
            with atomic_path(place) as temporary:
                try:
                    os.link(one, temporary)
                except OSError:  # a file system without links
                    shutil.copy2(one, temporary)


def put_back(path: Path) -> None:
    """Put what a file was found to hold into its place again."""
    with suppress(OSError), atomic_path(path) as temporary:
        shutil.copy2(found_path(path), temporary)


def damaged_part(path: Path) -> Path:
    """Of a damaged file and those that are read with it the first that is not as written."""
    return next((one for one, *_ in _differences(path)), path)


def cut(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Every file of a folder that has a receipt, and what its size alone says is wrong with it, or None."""
    for parent, _, names in os.walk(FOLDER / folder.relative_to(RESULTS)):
        place = RESULTS / Path(parent).relative_to(FOLDER)
        for name in sorted(name for name in names if name.endswith(".json")):
            receipt = _read(f"{parent}/{name}")
            with suppress(OSError):
                path = place / name.removesuffix(".json")
                size = path.stat().st_size
                if receipt is not None:
                    yield path, None if size == receipt.size else damage(path)


def receipt_path(path: Path) -> Path | None:
    """Where the receipt of an output lies; None where it has none."""
    return FOLDER / f"{path.relative_to(RESULTS)}.json" if path.is_relative_to(RESULTS) else None


def found_path(path: Path) -> Path:
    """Where is kept what an output that has a receipt was found to hold."""
    return FOLDER / f"{path.relative_to(RESULTS)}.found"


def read_receipt(path: Path) -> Receipt | None:
    """The receipt of an output; None where it is missing or damaged."""
    place = receipt_path(path)
    return _read(place) if place else None


def _read(place: str | Path) -> Receipt | None:
    try:
        with open(place, encoding="utf-8") as file:
            receipt = Receipt(**json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return receipt if type(receipt.size) is type(receipt.changed) is int else None


def _differences(path: Path) -> Iterator[tuple[Path, Receipt, str]]:
    """Of a file and those that are read with it each that differs from its receipt, and how."""
    for one in (path, *(path.with_name(name) for name in TOGETHER.get(path.name, ()))):
        receipt = read_receipt(one)
        if receipt is not None and (found := _difference(one, receipt)):
            yield one, receipt, found


def _difference(path: Path, receipt: Receipt) -> str | None:
    """How a file differs from its receipt. A large one whose time alone is another is read once."""
    try:
        status = path.stat()
        if status.st_size != receipt.size:
            rows = _rows(path)
            return f"{status.st_size} bytes" + (f" in {rows} lines" if rows is not None else "")
        large = receipt.size > SMALL
        if large and status.st_mtime_ns == receipt.changed:
            return None
        if sha256_of(path) != receipt.sha256:
            return "as many bytes, but others"
    except OSError as error:
        return error.strerror or str(error)
    if large:
        with suppress(OSError):  # where nothing can be written, it is read again
            write_text(receipt_path(path), json.dumps(asdict(replace(receipt, changed=status.st_mtime_ns))))
    return None


def _described(receipt: Receipt) -> str:
    return f"{receipt.size} bytes" + (f" in {receipt.rows} lines" if receipt.rows is not None else "")


def _rows(path: Path) -> int | None:
    if path.suffix != ".jsonl":
        return None
    with path.open("rb") as lines:
        return sum(1 for _ in lines)
