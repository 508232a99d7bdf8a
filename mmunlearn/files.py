"""Files that somebody else wrote: their text, their place below a folder, and what a message says of them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import Any

import yaml

SHOWN = 20  # problems in a message
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Ends of pictures' names, in lower case."""
UNREAD = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg"}
    | {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"}
)
"""Ends of the names of pictures that are not read."""
_SNAPSHOT = re.compile(r"(.*/(?:models|datasets)--[^/]+)/snapshots/[0-9a-f]{40}/")
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class RecordError(ValueError):
    """A file does not hold what its name promises."""


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; every line ends in \\n.

    Raises:
        RecordError: it is in another encoding, which is named: UTF-16, UTF-32, or Latin-1 and its like.
    """
    return decode(Path(path).read_bytes(), path).replace("\r\n", "\n").replace("\r", "\n")


def read_refusals(path: str | Path) -> list[str]:
    """One sentence a line. Raises ValueError where there is none."""
    refusals = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not refusals:
        raise ValueError(f"{path} holds no refusals; PO and DPO need at least one line")
    return refusals


def read_yaml(path: str | Path) -> Any:
    """The plain data of a YAML file. Raises RecordError where it is none, or as of `read_text`."""
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise RecordError(
            f"Asked {path} for YAML. Found {' '.join(str(error).split())}. Correct it there."
        ) from error


def read_csv(path: str | Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file (RFC 4180), each with the line in which it begins; empty lines are left out.

    Raises:
        RecordError: a row is damaged, such as by a quote that never ends; names the line. Or as of `read_text`.
    """
    text = decode(Path(path).read_bytes(), path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise RecordError(
            f"Asked {path}, line {line}, for a row of CSV. Found a damaged one ({error}). Save the table again."
        ) from error
    return rows


def decode(data: bytes, name: str | Path) -> str:
    """As `read_text`, of bytes, line ends as they are; `name` is what errors call them."""
    found = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    try:
        text = data.decode("utf-8-sig")
        if found is None and "\0" not in text:
            return text
        found = found or "UTF-16 without a byte order mark, or no text at all"
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        latin = f"byte 0x{byte:02x} in line {line}, as in Latin-1 or Windows-1252"
        found = found or ("UTF-16 without a byte order mark, or no text" if b"\0" in data else latin)
    raise RecordError(f"Asked {name} for text in UTF-8. Found {found}. Save it again as UTF-8.")


def inside(folder: Path, name: str, where: str, follow: bool = True) -> Path:
    """The file of a list's `name`, a path relative to the list's `folder`; `where` is its place in the list.

    Raises:
        RecordError: the path is empty, absolute, goes up (`..`), is written with backslashes, or, with `follow`, leads
            out of the folder by a link.
    """
    problem = _misplaced(name) or (leads_out(folder, name) if follow else None)
    if problem:
        raise RecordError(
            f"Asked {where} for a file below {folder}, by a path relative to it with / between folders. "
            f"Found {shown(name)}, which {problem}. Put the file itself there and correct the path."
        )
    return folder / name


def _misplaced(name: str) -> str | None:
    parts = re.split(r"[/\\]", name)
    if not name.strip() or "\0" in name:
        return "is no path"
    if not parts[0] or re.match("[A-Za-z]:", name):
        return "is absolute"
    if ".." in parts:
        return "leads upwards"
    return "has backslashes" if "\\" in name else None


def leads_out(folder: Path, name: str) -> str | None:
    """What is wrong with where the links of a path below a folder lead: out of it, unless the folder lies in a snapshot
    of the model hub's cache, `.../<repository>/snapshots/<commit>/`, and they lead to that repository's `blobs`."""
    try:
        home, found = folder.resolve(), (folder / name).resolve()
        snapshot = _SNAPSHOT.match(f"{home.as_posix()}/")
        homes = [home, Path(snapshot[1], "blobs")] if snapshot else [home]
        return None if any(map(found.is_relative_to, homes)) else "is a link out of it"
    except (OSError, RuntimeError) as error:  # a circle of links
        return f"cannot be followed ({error})"


def shown(value: Any) -> str:
    """A value as a message quotes it, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(problems: list[str]) -> str:
    """Problems as one clause: the first SHOWN of them, and how many more there are."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more
