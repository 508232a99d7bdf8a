"""What a table, or the names of the files, say of a folder of pictures: rows, before anybody looks at the pictures.

A table is CSV, JSON lines or Parquet, and a map says which of its columns hold what; a pattern finds the same in the
path of each file. Nothing heavy here: configurations are checked by it, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmunlearn.files import RecordError, read_csv, read_text, shown

COLUMNS = ("file", "person", "event", "question", "answer", "kind")
"""What a column may hold: the keys of `images.files.columns`."""
TABLES = (".csv", ".jsonl", ".parquet")
_PART = re.compile(r"(\{[^{}]*\}|\*)")
_PARTS = {"{person}": "(?P<person>[^/]+)", "{event}": "(?P<event>[^/]+)", "*": "[^/]*"}


@dataclass(frozen=True)
class Row:
    """What is said of one file; a text is empty where nothing is. `where` is the row's place, for messages."""

    where: str
    file: str
    person: str = ""
    event: str = ""
    question: str = ""
    answer: str = ""
    kind: str = ""


def read_table(path: Path, columns: Mapping[str, str | None]) -> tuple[list[Row], list[str]]:
    """The rows of a table in their order, and the names of all its columns.

    Args:
        columns: what a column holds (see COLUMNS) -> its name; None where the table has none.
    Raises:
        RecordError: it is no such table, lacks a column, or a row has other cells than columns; names the line and, of
            columns, those that are there.
    """
    if (suffix := path.suffix.lower()) not in TABLES:
        raise RecordError(
            f"Asked for a table of pictures ({', '.join(TABLES)}). Found {path}. Save it as one of these."
        )
    named = {what: name for what, name in columns.items() if name is not None}
    read = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}[suffix]
    found, cells = read(path, [*named.values()])
    wrong = [what for what, name in named.items() if found.count(name) != 1]
    if wrong:
        asked = ", ".join(f"{shown(named[what])} (images.files.columns.{what})" for what in wrong)
        raise RecordError(
            f"Asked {path} for the columns {asked}, each once. Found the columns "
            f"{', '.join(map(shown, found)) or 'none'}. Name them as they are there; null for what it does not have: "
            f"images.files.columns: {{{', '.join(f'{what}: ...' for what in columns)}}}"
        )
    return [
        Row(where, **{what: _text(row.get(name), f"{where}, {name}", what) for what, name in named.items()})
        for where, row in cells
    ], found


def check_table(path: Path, columns: Mapping[str, str | None]) -> None:
    """Raises RecordError as of `read_table`; nothing is said of Parquet, which takes more than text to read."""
    if path.suffix.lower() != ".parquet":
        read_table(path, columns)


def _csv(path: Path, names: Sequence[str]) -> tuple[list[str], Iterator[tuple[str, dict[str, Any]]]]:
    lines = read_csv(path)
    found = [name.strip() for name in lines[0][1]] if lines else []

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for line, cells in lines[1:]:
            where = f"{path}, line {line}"
            if len(cells) != len(found):
                raise RecordError(
                    f"Asked {where} for {len(found)} cells ({', '.join(found)}). Found {len(cells)}, {shown(cells)}. "
                    "Set a cell that holds a comma in double quotes, and leave none out."
                )
            yield where, dict(zip(found, cells, strict=True))

    return found, rows()


def _json_lines(path: Path, names: Sequence[str]) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    rows: list[tuple[str, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordError(
                f"Asked {where} for a row of JSON. Found none ({error}). Correct it."
            ) from error
        if not isinstance(row, dict):
            raise RecordError(f"Asked {where} for an object. Found {shown(row)}. Write {{...}}, one a line.")
        rows.append((where, row))
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _parquet(path: Path, names: Sequence[str]) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            wanted = [name for name in names if name in found]
            rows = file.read(columns=wanted).to_pylist() if wanted else []
    except (OSError, ValueError) as error:
        raise RecordError(f"Asked {path} for Parquet. Found none ({error}). Save it again.") from error
    return found, [(f"{path}, row {number}", row) for number, row in enumerate(rows, start=1)]


def _text(value: Any, where: str, what: str) -> str:
    """A cell as one line of text, of a file its name. Raises RecordError where it is none."""
    if isinstance(value, float) and value != value:  # pandas writes a missing text so
        value = None
    if not isinstance(value, str | int | float | None):
        raise RecordError(f"Asked {where} for a text. Found {shown(value)}. Write one.")
    text = "" if value is None else str(value)
    return text.strip() if what == "file" else " ".join(text.split())


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern for the files' paths."""
    parts = [part for part in _PART.split(pattern) if part.startswith("{")]
    if strange := [part for part in parts if part not in _PARTS]:
        return f"'{strange[0]}' says nothing; write {{person}} and {{event}}, and * for anything else"
    if not parts or len(parts) != len({*parts}):
        return f"'{pattern}' must hold {{person}} or {{event}}, or each once; e.g. {{person}}_{{event}}.jpg"
    return None


def read_names(files: Iterable[str], pattern: str) -> tuple[list[Row], list[str]]:
    """A row of each file whose path below the folder fits the pattern, and the files that do not.

    `{person}` and `{event}` are parts of names of files or folders, as long as can be, the first the longest; `_` in
    them stands for a blank. `*` is anything within a name.
    """
    expression = re.compile("".join(_PARTS.get(part) or re.escape(part) for part in _PART.split(pattern)))
    rows, others = [], []
    for file in files:
        if match := expression.fullmatch(file):
            texts = {
                what: " ".join(value.replace("_", " ").split()) for what, value in match.groupdict().items()
            }
            rows.append(Row(file, file, **texts))
        else:
            others.append(file)
    return rows, others
