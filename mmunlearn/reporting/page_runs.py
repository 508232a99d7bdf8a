"""What the run cost and how training went, as the page's template wants it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mmunlearn.ids import parse_recipe
from mmunlearn.records import Training
from mmunlearn.reporting.layout import MISSING, method_order, number


def training_rows(trainings: Sequence[Training], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row a trained recipe with its loss curve, by model, split, method (`labels` has its name) and seed."""

    def order(one: Training) -> tuple:
        recipe = parse_recipe(one.recipe)
        split = recipe.split if recipe.target else ""
        return one.model, split, method_order(labels[recipe.method]), one.seed

    rows = []
    for one in sorted(trainings, key=order):
        losses = [record["loss"] for record in one.losses]
        values = [loss for loss in losses if loss is not None and math.isfinite(loss)]
        ends = [number(value).replace("-", "−") for value in values[:: len(values) - 1 or 1]]
        rows.append(
            {
                "model": one.model,
                "recipe": one.recipe,
                "seed": one.seed,
                "steps": one.steps,
                "stop_reason": one.stop_reason,
                "losses": " → ".join(ends),
                "sparkline": sparkline(values, f"loss of {one.recipe}, seed {one.seed}"),
                "seconds": duration(one.seconds),
                "memory": f"{one.peak_memory_gb:.1f}",
                "digest": one.adapter_sha256[:12],
            }
        )
    return rows


def sparkline(values: list[float], label: str, width: int = 120, height: int = 26) -> Markup:
    """A small line of the values as inline SVG with a text alternative; empty below two values."""
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    points = " ".join(
        f"{2 + (width - 4) * index / (len(values) - 1):.1f},"
        f"{2 + (height - 4) * (high - value) / ((high - low) or 1):.1f}"
        for index, value in enumerate(values)
    )
    text = f"{label}: from {values[0]:.3g} to {values[-1]:.3g} in {len(values)} records"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(width, height, width, height, text, points)


def merged_versions(trainings: list[Training]) -> dict[str, str]:
    """Every version that any training names; several values of one name stand side by side."""
    versions: dict[str, set[str]] = {}
    for one in trainings:
        for name, version in one.versions.items():
            versions.setdefault(name, set()).add(version)
    return {name: " / ".join(sorted(values)) for name, values in sorted(versions.items())}


def time_by_rule(benchmarks: Path) -> list[dict[str, Any]]:
    """Jobs, seconds and largest memory of each rule, the longest first.

    Args:
        benchmarks: folder of Snakemake's benchmark files (tab separated; columns `s` and `max_rss`, MB, `-` where not
            taken); the folder below it, or the stem of a file in it, names the rule.
    """
    rules: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        name = Path(path.relative_to(benchmarks).parts[0]).stem
        rules.setdefault(name, []).extend((_number(row["s"]), _number(row.get("max_rss"))) for row in rows)
    totals = {name: sum(seconds for seconds, _ in jobs) for name, jobs in rules.items()}
    peaks = {name: max((memory for _, memory in jobs), default=0.0) for name, jobs in rules.items()}
    whole, longest = sum(totals.values()) or 1.0, max(totals.values(), default=0.0) or 1.0
    return [
        {
            "rule": name,
            "jobs": len(rules[name]),
            "seconds": seconds,
            "time": duration(seconds),
            "share": f"{seconds / whole:.0%}",
            "bar": f"{100 * seconds / longest:.1f}",
            "memory": f"{peaks[name] / 1024:.1f}" if peaks[name] else MISSING,
        }
        for name, seconds in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]


def _number(text: str | None) -> float:
    """A cell of a benchmark file; what was not measured (`-`, `NA`) counts as 0."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def duration(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `42 s`, `3 min 07 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
