"""Whether two runs left the same bytes: python .ci/compare_runs.py BEFORE/results/pocket AFTER/results/pocket.

For refactorings: run the old and the new code (default run, `table4 figures`, `robustness`, `lifelong`) in two folders
and compare. What says when or how fast something ran is left out: times, memory and progress of trainings, and the
report that prints them. Prints a count for each kind of file and every difference; exits with 1 where there is one.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMED = ("seconds", "seconds_so_far", "peak_memory_gb", "memory_gb")
UNCOMPARED = ("report.html", "lifelong.html")  # print times


def content(path: Path) -> Any:
    """What must be equal of a file."""
    return READERS.get(path.name, checksum)(path)


def checksum(path: Path) -> str:
    """Of all bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def untimed(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON or JSON-lines file, or a table's rows, without what was timed."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
    else:
        rows = [json.loads(text)] if path.suffix == ".json" else list(map(json.loads, text.splitlines()))
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


READERS: dict[str, Callable[[Path], Any]] = dict.fromkeys(
    ("training.json", "steps.jsonl", "memory.json", "lifelong_cost.csv"), untimed
)


def kind(path: Path) -> str:
    """What a file is counted as: the first folder and the ending."""
    return f"{path.parts[0] if len(path.parts) > 1 else 'run'}/*{path.suffix}"


def compare(before: Path, after: Path) -> tuple[Counter, list[str]]:
    """Equal files by kind, and a line for every file that differs or is in one run alone."""
    files = {
        folder: {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (before, after)
    }
    equal, problems = Counter(), []
    for path in sorted(files[before] | files[after]):
        missing = [folder for folder in (before, after) if path not in files[folder]]
        if path.name in UNCOMPARED or path.name.startswith("."):
            continue
        if missing:
            problems.append(f"{path} is not in {missing[0]}")
        elif content(before / path) != content(after / path):
            problems.append(f"{path} differs")
        else:
            equal[kind(path)] += 1
    return equal, problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    folders = parser.parse_args()
    for folder in (folders.before, folders.after):
        if not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    equal, problems = compare(folders.before, folders.after)
    for name, count in sorted(equal.items()):
        print(f"{count:6} equal  {name}")
    print(*problems, sep="\n")
    print(f"{equal.total()} files are equal, {len(problems)} are not.")
    sys.exit(bool(problems) or not equal)


if __name__ == "__main__":
    main()
