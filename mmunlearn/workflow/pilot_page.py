"""A pilot's numbers as Markdown that a terminal shows, too."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mmunlearn.evaluation.intervals import FEW
from mmunlearn.synthesis.filter_counts import FilterCount, aligned, filter_table
from mmunlearn.workflow.numbers import amount, duration

WIDTH = 118
Pilot = Mapping[str, Any]
BARS = " ▁▂▃▄▅▆▇█"
ALL = {
    "pictures": "pictures, references included",
    "hours": "time, one job after another",
    "gpu_hours": "GPU-hours",
    "disk": "disk, GB",
}


def pilot_page(pilot: Pilot) -> str:
    """Acceptance by filter, what it means for all, and how to correct the plan."""
    parts = [
        f"# Pilot: shard {pilot['shard']}",
        "\n".join(_wrapped(line, "- ") for line in [*_findings(pilot), *_warnings(pilot)]),
        f"## What the filters {'refuse' if pilot['enforced'] else 'would refuse (images.filter: report)'}",
        _grid(filter_table({name: FilterCount(**one) for name, one in pilot["filters"].items()})),
        f"No face: {pilot['no_face']:,}; several faces: {pilot['several_faces']:,}; the identity filter refuses both. "
        "Alone: by no other filter.",
        f"```\n{_histograms(pilot)}\n```",
        "Scores from the least to the largest; | is the threshold: identity passes on its left, others on their right.",
        "## What it means for all",
        _grid(aligned([["", "pilot", "95% interval", "plan"], *_totals(pilot)])),
        _wrapped(_about_cost(pilot)),
        "## Correct the plan by",
        f"```yaml\n{overlay(pilot)}```",
        "in a file `mine.yaml`, named behind your preset. The plan then counts as this page does; it lists references\n"
        "apart, as reference pictures:",
        "```bash\n.venv/bin/mmunlearn plan --configfile presets/paper-first.yaml mine.yaml\n```",
    ]
    return "\n\n".join(parts) + "\n"


def overlay(pilot: Pilot) -> str:
    """The lines of a configuration file that give the plan what the pilot measured."""
    where = ", ".join(["pilot", *pilot["cost"]["devices"]])
    rows = {name: {"value": value, "source": where} for name, value in pilot["measured"].items()}
    return yaml.safe_dump({"plan": rows}, default_flow_style=None, sort_keys=False, width=200)


def _findings(pilot: Pilot) -> list[str]:
    cells, acceptance = pilot["cells"], pilot["acceptance"]
    each, people = pilot["drawn_a_valid_picture"]["cell"], pilot["drawn_a_valid_picture"]["person"]
    value = f"{each['value']:.3g}" if each["value"] else "unknown"
    return [
        f"{pilot['valid']} of {cells} cells have a valid picture ({pilot['valid'] / cells:.1%}), after "
        f"{pilot['candidates']:,} candidates of {pilot['people']} people.",
        f"{acceptance['value']:.1%} of the candidates pass all filters (95% interval {acceptance['low']:.1%} to "
        f"{acceptance['high']:.1%}, over {_clusters(pilot)}).",
        f"Pictures drawn for a valid one: {value}, 95% interval {_ends(each)} over the {cells} cells, {_ends(people)} "
        f"over the {pilot['people']} people.",
    ]


def _warnings(pilot: Pilot) -> list[str]:
    filters, cost = pilot["filters"], pilot["cost"]
    most = max(filters, key=lambda name: filters[name]["refused"])
    worst = (
        f"{most} refuses most, {filters[most]['refused']:,} of {pilot['candidates']:,}, "
        f"{filters[most]['alone']:,} alone, its nearest {filters[most]['nearest']} at a threshold of "
        f"{filters[most]['threshold']}"
    )
    warnings = []
    if not pilot["valid"]:
        warnings.append(
            f"**No candidate passes, so nothing can be said of all.** {worst}. Look at the pictures and at the "
            "distribution of scores below: a threshold that all miss by little is too strict (images.thresholds); "
            "scores far off speak of the weights or the prompts."
        )
    elif pilot["valid"] / pilot["cells"] < pilot["asked_share"]:
        warnings.append(
            f"**The check asks for a valid picture in {pilot['asked_share']:.1%} of the cells** "
            f"(images.min_accepted_share): a run like this shard draws everything and then stops. {worst}. Raise "
            f"images.max_attempts (now {pilot['max_attempts']}), loosen a filter, or lower the share."
        )
    if pilot["people"] < FEW:
        warnings.append(
            f"Pictures of a person are not independent, and {pilot['people']} people say little of others: the "
            "intervals over cells are of these people alone."
        )
    if cost["timed"] < pilot["candidates"]:
        warnings.append(
            f"Seconds are known of {cost['timed']:,} of the {pilot['candidates']:,} candidates; the others were "
            f"drawn by an older version{'' if cost['timed'] else ', so hours rest on the plan'}."
        )
    elif "draw_job_seconds" not in pilot["measured"]:
        warnings.append(
            "What a job takes besides pictures is the plan's: the last job of this shard found pictures there."
        )
    return warnings


def _histograms(pilot: Pilot) -> str:
    """A line a filter: its scores as bars, the threshold as |."""
    rows = []
    for name, one in pilot["filters"].items():
        (low, high), most = one["ends"], max(*one["histogram"], 1)
        bars = [BARS[-(-count * (len(BARS) - 1) // most)] for count in one["histogram"]]
        at = round((one["threshold"] - low) / (high - low) * len(bars)) if high > low else 0
        rows.append([name, f"{low:.4g}", "".join([*bars[:at], "|", *bars[at:]]), f"{high:.4g}"])
    return "\n".join("  ".join(row).rstrip() for row in aligned(rows))


def _totals(pilot: Pilot) -> list[list[str]]:
    """A row for each of ALL that is not 0."""
    rows = []
    for name, title in ALL.items():
        write = duration if name == "hours" else amount
        values = {case: write(of[name]) if name in of else "-" for case, of in pilot["all"].items()}
        if pilot["all"]["pilot"][name]:
            rows.append([title, values["pilot"], f"{values['low']} to {values['high']}", values["plan"]])
    return rows


def _about_cost(pilot: Pilot) -> str:
    cost, measured, plan = pilot["cost"], pilot["measured"], pilot["plan"]
    beside = ", ".join(f"{name} {value:g} (plan: {plan[name]:g})" for name, value in measured.items())
    where = f"on {', '.join(cost['devices'])}" if cost["devices"] else "on an unknown device"
    features = (cost["candidate_bytes"] - cost["picture_bytes"]) / 1000
    return (
        f"Measured {where}: {beside}. Disk is candidates, their published copies, embeddings of prompts and, which the "
        f"plan leaves out, {features:.3g} kB of features a candidate. Intervals are over {_clusters(pilot)} "
        "and of acceptance alone, time's, too: seconds a picture are taken as measured. What is drawn again for pairs "
        "of scenes (pair_refusals) is the plan's."
    )


def _clusters(pilot: Pilot) -> str:
    return f"{pilot['people']} people" if pilot["interval_over"] == "person" else f"{pilot['cells']} cells"


def _ends(rate: Mapping[str, float | None]) -> str:
    high = f"to {rate['high']:.3g}" if rate["high"] else "and more"
    return f"{rate['low']:.3g} {high}" if rate["low"] else "unknown"


def _grid(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of aligned cells."""
    head, *others = rows
    lines = [head, ["-" * len(cell) for cell in head], *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _wrapped(text: str, first: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )
