"""Entities and questions of every task by class: a table, and a figure of stacked bars."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmunlearn.files import RecordError
from mmunlearn.lifelong.statistics import SetCounts, TaskStatistics
from mmunlearn.records import digest_of, read_json, sha256_of
from mmunlearn.reporting import style
from mmunlearn.reporting.layout import Row, write_table
from mmunlearn.reporting.lifelong_missing import missing_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    *(
        "task",
        "role",
        "class",
        "entities",
        "of_entities",
        "questions",
        "of_questions",
        "pictures",
        "of_pictures",
    ),
    *("trained", "asked", "trained_pictures", "asked_pictures", "missing_pictures", "digest", "note"),
)
FILLS = (
    *(("#004488", "white"), ("#EECC66", "black"), ("#994455", "white"), ("#6699CC", "black")),
    *(("#997700", "white"), ("#EE99AA", "black"), ("#BBBBBB", "black")),
)
"""Colours of classes and of their hatching."""
HATCHES = ("", "////", "....")
"""Of the first seven classes, the next seven and the rest."""
READING = (
    "Questions of the files; a share of the pictures (test_share) is held out and asked. Untouched: asked, never "
    "trained on. Strangers: shown to gates alone."
)
LETTER = 0.022  # of the longest bar: what a letter of a segment's number takes


def plot_lifelong_data(statistics: Path, csv: Path, png: Path, pdf: Path) -> None:
    """Write the table and draw the figure.

    Args:
        statistics: JSON of `TaskStatistics`.
    Raises:
        RecordError: it is not what its name promises, or has no task.
    """
    counts = read_json(statistics, TaskStatistics)
    if not counts.sets:
        raise RecordError(
            f"Asked {statistics} for tasks. Found none. Run the rule that wrote it again (--forcerun)."
        )
    rests = missing_pictures(counts) | {"digest": digest_of([sha256_of(statistics)])}
    rows = table_rows(counts)
    write_table(csv, COLUMNS, [row if row["task"] == "paper" else row | rests for row in rows])
    rows = list(dict.fromkeys((one.task, one.role) for one in counts.sets))
    figure = style.new_figure(7.2, 1.5 + 0.24 * len(rows))
    for axes, what in zip(figure.subplots(1, 2, sharey=True), ("entities", "questions"), strict=True):
        _draw_panel(axes, rows, counts.sets, what)
    _legend(figure, _classes(counts.sets))
    text = textwrap.fill(f"{READING} {caption(counts)}", 112)
    figure.supxlabel(text, x=0.012, ha="left", fontsize=style.SMALL, color="#444444")
    style.save_figure(figure, png, pdf)


def table_rows(counts: TaskStatistics) -> list[Row]:
    """A row for each class in a role of a task, one for all, and what the paper says."""
    rows = []
    for one in counts.sets:
        cells = one.model_dump(exclude={"entity_class", "of_trained", "of_asked"})
        rows.append({name: str(value) for name, value in cells.items()} | {"class": one.entity_class})
    used, found = ({name: str(n) for name, n in of.items()} for of in (counts.used, counts.found))
    named = {f"of_{name}": n for name, n in found.items() if name != "classes"}
    total = {"task": "all", "class": f"{used.pop('classes')} classes", "note": caption(counts)}
    rows.append(used | named | total)
    if counts.paper:
        paper = {name: str(n) for name, n in counts.paper.items()}
        rows.append({"task": "paper", "class": f"{paper.pop('classes')} classes", **paper})
    return rows


def caption(counts: TaskStatistics) -> str:
    """What all of it is, and how it differs from the paper's and the released data set; strangers are in none."""
    found, used = counts.found, counts.used
    of = {
        name: sum(getattr(one, f"of_{name}") for one in counts.sets if one.role == "stranger")
        for name in ("entities", "questions", "pictures")
    }
    text = (
        f"The tasks' files name {found['entities'] - of['entities']:,} entities of {found['classes']} classes and "
        f"{found['questions'] - of['questions']:,} questions on {found['pictures'] - of['pictures']:,} pictures"
    )
    if counts.released:
        text += f": the released MLUBench (the paper says {counts.paper['pictures']:,} pictures)"
    elif counts.paper:
        text += f": MLUBench's entities, but not as released ({'; '.join(counts.differences[:3])})"
    text += "."
    if of["entities"]:
        text += f" Beside them stand {of['entities']:,} strangers with {of['questions']:,} questions."
    if counts.missing_pictures:
        text += (
            f" {found['pictures'] - counts.missing_pictures:,} of {found['pictures']:,} pictures are there."
        )
    if used["questions"] != found["questions"]:
        text += f" {used['questions']:,} of {found['questions']:,} questions are used."
    return text


def _classes(sets: Sequence[SetCounts]) -> list[str]:
    return list(dict.fromkeys(one.entity_class for one in sets))


def _draw_panel(axes: Axes, rows: Sequence[tuple[str, str]], sets: Sequence[SetCounts], what: str) -> None:
    """Bars of the sets, the first on top; beside each its total, and of how many where some are not used."""
    looks = _looks(_classes(sets))
    ends: dict[tuple[str, str], int] = dict.fromkeys(rows, 0)
    longest = max(sum(getattr(one, what) for one in sets if (one.task, one.role) == row) for row in rows) or 1
    for one in sets:
        row, n = (one.task, one.role), getattr(one, what)
        place = rows.index(row)
        axes.barh(place, n, 0.72, ends[row], **looks[one.entity_class])
        if n >= len(f"{n:,}") * LETTER * longest:
            plate = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none"}
            middle = {"ha": "center", "va": "center", "fontsize": style.SMALL, "bbox": plate}
            axes.text(ends[row] + n / 2, place, f"{n:,}", **middle)
        ends[row] += n
    for place, row in enumerate(rows):
        of = sum(getattr(one, f"of_{what}") for one in sets if (one.task, one.role) == row)
        total = f"{ends[row]:,}" + (f" of {of:,}" if of != ends[row] else "")
        axes.text(ends[row] + 0.015 * longest, place, total, va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(rows)), [f"{task} {role}".strip() for task, role in rows])
    axes.set(xlim=(0, longest * 1.24), ylim=(len(rows) - 0.4, -0.6), xticks=[])
    axes.set_title(what.capitalize(), fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _looks(classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Fill and hatching of each class."""
    looks = {}
    for place, name in enumerate(classes):
        (colour, ink), hatch = FILLS[place % len(FILLS)], HATCHES[min(place // len(FILLS), len(HATCHES) - 1)]
        looks[name] = {"fc": colour, "ec": "black", "hatch": hatch, "hatchcolor": ink, "lw": 0.6}
    return looks


def _legend(figure: Any, classes: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(label=name, **look) for name, look in _looks(classes).items()]
    style.write_legend(figure, handles, 6, columnspacing=1.4)
