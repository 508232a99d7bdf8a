"""Check what the pocket run with `table4 figures` left: python .ci/check_outputs.py results/pocket.

Prints every failure.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from mmunlearn.records import read_manifest, sha256_of

METHODS = ["Finetune", "Goal", "PO", "GA", "GD", "KL", "DPO"]
BOTH = ["Finetune", "Goal", "GD", "GD+BGD", "KL", "KL+BGD"]
METRICS = ["efficacy", "generality", "retain", "scope", "real", "world_fact"]
COLUMNS = ["model", "forget_percent", "method", "target", *METRICS]

# The world is learnt, and a goal model does not know what it never saw. What the methods do is an observation.
AT_MOST = {("Finetune", "person"): {"efficacy": 10, "generality": 10}}
AT_LEAST = {
    ("Finetune", "person"): {"retain": 90, "scope": 80},
    ("Goal", "person"): {"efficacy": 98, "generality": 98, "retain": 90},
    ("Finetune", "event"): {"retain": 80, "scope": 90},
}


def check_table3(path: Path) -> Iterator[str]:
    """14 rows of finite numbers, and the acceptance criteria."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    if not rows or list(rows[0])[: len(COLUMNS)] != COLUMNS:
        yield f"{path}: the columns do not begin with {', '.join(COLUMNS)}"
        return
    expected = sorted((method, target) for method in METHODS for target in ("person", "event"))
    if (found := sorted((row["method"], row["target"]) for row in rows)) != expected:
        yield f"{path}: rows are {found}"
    for row in rows:
        name, values = (row["method"], row["target"]), {metric: number(row[metric]) for metric in METRICS}
        yield from (f"{path}: {name} has {m} {row[m]!r}" for m, v in values.items() if not math.isfinite(v))
        yield from (
            f"{path}: {name} has {m} {values[m]}, at most {bound} is accepted"
            for m, bound in AT_MOST.get(name, {}).items()
            if values[m] > bound
        )
        yield from (
            f"{path}: {name} has {m} {values[m]}, at least {bound} is accepted"
            for m, bound in AT_LEAST.get(name, {}).items()
            if values[m] < bound
        )


def check_table4(path: Path) -> Iterator[str]:
    """12 rows of finite numbers."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    expected = sorted((method, target) for method in BOTH for target in ("person", "event"))
    if (found := sorted((row["method"], row["target"]) for row in rows)) != expected:
        yield f"{path}: rows are {found}"
    for row in rows:
        values = {metric: row.get(metric, "") for metric in METRICS if metric != "scope"}
        yield from (
            f"{path}: {row['method']}, {row['target']} has {metric} {value!r}"
            for metric, value in values.items()
            if not math.isfinite(number(value))
        )


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_manifest(results: Path) -> Iterator[str]:
    """Every accepted picture is there, with the content that the manifest promises."""
    accepted = [row for row in read_manifest(results / "images" / "manifest.parquet") if row.accepted]
    if not accepted:
        yield "the manifest accepts no picture"
    for row in accepted:
        picture = results / "images" / f"{row.image_id}.png"
        if not picture.is_file():
            yield f"{picture} is missing"
        elif sha256_of(picture) != row.sha256:
            yield f"{picture} differs from the manifest's sha256"


LOADING = ("src", "srcset", "poster", "data", "style")
ADDRESS = re.compile(r"(?:^|[(,])\s*['\"]?(?:https?:)?//")  # a whole value, in url(), or in a srcset


class Requests(HTMLParser):
    """Collects what makes a browser load something from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in LOADING or (name.endswith("href") and tag != "a")
            if loads and ADDRESS.search(value or ""):
                self.found.append(f"<{tag} {name}={value!r:.80}>")

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("style", "script"):
            self.found += re.findall(
                r"(?:@import|url\(|fetch\(|import\()[^;)]{0,20}https?://[^\s)]{0,60}", data
            )


def check_report(path: Path) -> Iterator[str]:
    """Self-contained: no address that a browser would ask for."""
    page = Requests()
    page.feed(path.read_text(encoding="utf-8"))
    yield from (f"{path} loads {one}" for one in page.found)


def main(folder: str) -> int:
    results = Path(folder)
    tables = results / "tables"
    needed = [
        results / "run_config.yaml",
        results / "report.html",
        results / "images" / "manifest.parquet",
        tables / "table3.csv",
        tables / "table3.md",
        tables / "table3.tex",
        *(tables / f"table3_{name}.csv" for name in ("vs_published", "ranks", "differences")),
        tables / "filter_agreement.csv",
        *(tables / f"table4{end}" for end in (".csv", ".md", ".tex", "_vs_published.csv")),
        *(results / "figures" / f"fig{n}.{kind}" for n in (4, 7, 8, 9, 10) for kind in ("png", "pdf")),
        results / "review" / "agreement.html",
    ]
    problems = [
        f"{path} is missing or empty" for path in needed if not path.is_file() or not path.stat().st_size
    ]
    if not any(tables.glob("*ceiling*.csv")):
        problems.append(f"{tables} has no file of the ceiling")
    if not problems:
        problems += check_table3(tables / "table3.csv")
        problems += check_table4(tables / "table4.csv")
        problems += check_manifest(results)
        problems += check_report(results / "report.html")
    print("\n".join(problems) or f"{folder}: the tables, the pictures and the report are as promised.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
