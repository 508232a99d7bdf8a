"""Check what the pocket run with `table4 figures lifelong` left: python .ci/check_outputs.py results/pocket.

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


SEQUENCES = ["GA", "GD", "KL", "NPO", "PO", "GA, stopped", "GD, stopped"]
MIXTURES = ["Base", "LUMoE", "LUMoE, prototypes", "LUMoE, oracle gate", "Last expert"]
RATED = ["forget", "utility", "knows", "degenerate"]
LIFELONG_TABLES = ("gate", "untouched", "classes", "orders", "cost", "undo", "data")
PLOTS = ("matrix", "utility", "data")
MATRIX = [f"{x}-U{y}" for x in "ABCD" for y in "ABCD" if x <= y]


def check_mlubench(path: Path) -> Iterator[str]:
    """A row a method and metric, of numbers in [0, 1] on all of a task's questions; and what no outcome can change.

    Only what the base answers is asked, so that before unlearning it knows all; a gate that knows every task leaves
    what is retained to the base.
    """
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    if not rows or list(rows[0])[: 3 + len(MATRIX)] != ["model", "method", "metric", *MATRIX]:
        yield f"{path}: the columns do not begin with model, method, metric, {', '.join(MATRIX)}"
        return
    cells = {(row["method"], row["metric"]): [number(row[name]) for name in MATRIX] for row in rows}
    expected = sorted((method, metric) for method in SEQUENCES + MIXTURES for metric in RATED)
    if len(rows) != len(expected) or sorted(cells) != expected:
        yield f"{path}: rows are {sorted(cells)}"
        return
    for (method, metric), values in cells.items():
        if not all(0 <= value <= 1 for value in values):
            yield f"{path}: {method} has {metric} {values}, numbers from 0 to 1 are accepted"
    for row in rows:
        counts = {name: (row[f"{name}_n"], row[f"{name}_missing"]) for name in MATRIX}
        if {missing for _, missing in counts.values()} != {"0"}:
            yield f"{path}: {row['method']} lacks ratings of {row['metric']}"
        for task in "ABCD":
            if len({n for name, (n, _) in counts.items() if name[0] == task}) != 1:
                yield f"{path}: {row['method']} is asked {row['metric']} of {task} on other questions after other tasks"
    bounds = {("Base", "utility"): (0.9, 1), ("Base", "knows"): (1, 1), ("Base", "forget"): (0, 0.1)}
    for name, (low, high) in bounds.items():
        if not all(low <= value <= high for value in cells[name]):
            yield f"{path}: {' has '.join(name)} {cells[name]}, {low} to {high} is accepted"
    if cells["LUMoE, oracle gate", "utility"] != cells["Base", "utility"]:
        yield f"{path}: LUMoE, oracle gate has another utility than the base, which answers what is retained"


def check_gate(path: Path) -> Iterator[str]:
    """After the last task: every gate on every set, shares that add up, and an oracle that is always right."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    whole = {
        (row["method"], row["set"]): [number(row[name] or "0") for name in ("right", "wrong", "base")]
        for row in rows
        if row["stage"] == "D" and not row["entity_class"]
    }
    expected = {(method, name) for method in MIXTURES[1:] for name in ("forget", "retain", "untouched")}
    if lacking := expected - whole.keys():
        yield f"{path}: no row of {sorted(lacking)}"
        return
    if without := {method for method, _ in whole} - set(MIXTURES[1:]):
        yield f"{path}: rows of {sorted(without)}, which have no gate"
    yield from (
        f"{path}: {name} has shares {shares}, which do not add up to 1"
        for name, shares in whole.items()
        if not math.isclose(sum(shares), 1, abs_tol=1e-9)
    )
    oracle = {name: whole["LUMoE, oracle gate", name] for name in ("forget", "retain", "untouched")}
    if oracle != {"forget": [1, 0, 0], "retain": [0, 0, 1], "untouched": [0, 0, 1]}:
        yield f"{path}: the oracle sends {oracle}"


def check_drift(path: Path) -> Iterator[str]:
    """Finite gaps of every task and method whose drift is measured."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    expected = {(method, task) for method in [*SEQUENCES[:5], "LUMoE"] for task in "ABCD"}
    if lacking := expected - {(row["method"], row["task"]) for row in rows}:
        yield f"{path}: no row of {sorted(lacking)}"
    yield from (
        f"{path}: {row['method']}, {row['task']} has {name} {row[name]!r}"
        for row in rows
        for name in ("original", "unlearned", "delta_gap")
        if not math.isfinite(number(row[name]))
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
        results / "lifelong" / "run_config.yaml",
        results / "report.html",
        results / "images" / "manifest.parquet",
        tables / "table3.csv",
        tables / "table3.md",
        tables / "table3.tex",
        *(tables / f"table3_{name}.csv" for name in ("vs_published", "ranks", "differences")),
        tables / "filter_agreement.csv",
        *(tables / f"table4{end}" for end in (".csv", ".md", ".tex", "_vs_published.csv")),
        *(results / "figures" / f"fig{n}.{kind}" for n in (4, 7, 8, 9, 10) for kind in ("png", "pdf")),
        *(tables / f"mlubench{end}" for end in (".csv", ".md", ".tex", "_vs_published.csv", "_ranks.csv")),
        *(tables / f"lifelong_{name}.csv" for name in LIFELONG_TABLES),
        tables / "representation_drift.csv",
        *(results / "figures" / f"lifelong_{name}.{kind}" for name in PLOTS for kind in ("png", "pdf")),
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
        problems += check_mlubench(tables / "mlubench.csv")
        problems += check_gate(tables / "lifelong_gate.csv")
        problems += check_drift(tables / "representation_drift.csv")
        problems += check_manifest(results)
        problems += check_report(results / "report.html")
    print("\n".join(problems) or f"{folder}: the tables, the pictures and the report are as promised.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
