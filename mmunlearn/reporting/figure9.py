"""Each concept unlearned alone, every concept tested, with answers: Figure 9 of PEBench."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmunlearn.ids import FINETUNED, TARGETS
from mmunlearn.records import Question, read_jsonl, read_manifest
from mmunlearn.reporting import style
from mmunlearn.reporting.answer_cards import answer_card
from mmunlearn.reporting.canvas import LINE, Canvas, draw_canvas, shorten, text_width, wrap
from mmunlearn.reporting.concept_matrix import (
    Cell,
    Concept,
    Questions,
    Study,
    read_concepts,
    read_studies,
    write_matrix,
)
from mmunlearn.reporting.page_pictures import Pictures

logger = logging.getLogger(__name__)

WIDTH, MARGIN = 518.4, 8.0  # of the figure, points
CARDS, NARROWEST = 206.0, 218.0  # width of the answers, and of what is at their left, at least
LARGEST, NUMBERS = 40.0, 16  # side of a cell at most; up to so many concepts cells carry their number
LABELS, BETWEEN, BAND = 46.0, 9.0, 15.0  # room for row labels; between blocks of columns, and of rows
SHADES = ("#004488", "#6699CC", "#FFFFFF")  # nothing left to all left: darker in grey, too
OUTLINE = "#DDAA33"  # of the diagonal; stands out from dark and from light
REGIONS = (
    "What is left, 0 to 100: dark where forgotten. Persons: answers with the full name, in percent; events: ROUGE-L "
    "with the true description. A efficacy: the unlearned concept itself (outlined); B retain: the others of its kind; "
    "C scope: the other kind. 1 a person is unlearned, 2 an event. First row: finetuned, nothing unlearned."
)


def plot_figure9(
    *,
    answers: Sequence[Path],
    splits: Sequence[Path],
    questions: Path,
    people: Path,
    events: Path,
    manifest: Path,
    method: str,
    percent: int,
    csv: Path,
    png: Path,
    pdf: Path,
    judgements: Sequence[Path] = (),
    judge: str = "",
) -> None:
    """Plot a heat map a model and the answers beside it, and write the heat maps' numbers as CSV.

    A cell is what is left of the column's concept, on the pictures that its split forgets, after the row's concept
    alone was unlearned; the first row is the finetuned model. A cell without an answer is hatched, never 0. Beside
    it, the first concept of each kind: picture, question, truth, and the models' answers with their scores.

    Args:
        answers: `<model>/<recipe>/seed-<n>/dataset.jsonl` of recipes `<method>-<split>-<number>`, and of the finetuned
            and the goal models to show.
        splits: the splits whose concepts were unlearned one by one.
        questions, people, events: the data set's questions and the curated JSON lines.
        manifest: lists the pictures; beside it they lie, `<image_id>.png`.
        method: how figures spell the method.
        percent: of the splits.
        judgements: G-Eval of these models' answers on what the event split forgets, by `judge`, as tables name it.
        csv: see `mmunlearn.reporting.concept_matrix`.

    Raises:
        RecordError: an input does not hold the rows that its name promises, a recipe is not of the splits, or a picture
            is another than listed.
    """
    concepts = read_concepts(splits, people, events)
    by_id = {one.question_id: one for one in read_jsonl(questions, Question)}
    studies = read_studies(concepts, by_id, answers, judgements)
    images = Pictures({}, {}, read_manifest(manifest), manifest.parent)
    page = Canvas()
    for study in studies:
        lost = [cell for cell in study.cells if cell.value is None]
        if lost:
            logger.warning("%s: %d cells of Figure 9 without a value", study.model, len(lost))
        below = page.height + (18 if page.parts else 0)
        page.text(0, below, f"{method}, {study.model}, {percent}% of the concepts", size=9.5)
        page.add(_block(study, by_id, images, method, judge), 0, below + 18)
    write_matrix(csv, studies)
    style.save_figure(draw_canvas(page, WIDTH, MARGIN), png, pdf)


def _block(study: Study, questions: Questions, images: Pictures, method: str, judge: str) -> Canvas:
    """A model's heat map and what explains it at the left, its answers at the right."""
    block = Canvas()
    heat, width = _heat_map(study)
    width = max(width, NARROWEST)
    below = block.add(heat, 0, 0)
    below = block.add(_colour_bar(), LABELS, below + 9)
    below = block.lines(0, below + 6, wrap(_explanation(study, judge), width), color="#333333")
    block.add(_names(study.concepts, width), 0, below + 6)
    x, y = width + 16, 0.0
    for _, kind in groupby(study.concepts, key=lambda one: one.kind):
        card = answer_card(study, next(kind), questions, images, method, WIDTH - 2 * MARGIN - x)
        y = block.add(card, x, y) + 12
    return block


def _heat_map(study: Study) -> tuple[Canvas, float]:
    """The cells in blocks by kind with the paper's names of the regions, and the width with the labels."""
    concepts = study.concepts
    kinds = [kind for kind, _ in groupby(concepts, key=lambda one: one.kind)]
    gaps = BETWEEN * (len(kinds) - 1)
    room = WIDTH - 2 * MARGIN - LABELS - 16 - CARDS
    side = min(LARGEST, (room - gaps) / len(concepts))
    heat, span = Canvas(), side * len(concepts) + gaps
    xs = {one.id: LABELS + side * at + BETWEEN * kinds.index(one.kind) for at, one in enumerate(concepts)}
    heat.text(LABELS + span / 2, 0, "tested", size=8.5, ha="center")
    top = LINE + 2
    for at, one in enumerate(concepts):
        if at % _every(side) == 0:
            heat.text(xs[one.id] + side / 2, top, one.code, ha="center")
    first = y = top + LINE + 2
    before = None
    for unlearned, cells in groupby(study.cells, key=lambda cell: cell.unlearned):
        row = list(cells)
        kind = unlearned.kind if unlearned else None
        if kind != before:
            _bands(heat, row, xs, y + 3)
            y, before = y + BAND, kind
        _row(heat, row, xs, y, side, numbers=len(concepts) <= NUMBERS)
        if unlearned is None or concepts.index(unlearned) % _every(side) == 0:
            code = unlearned.code if unlearned else "none"
            heat.text(LABELS - 5, y + side / 2, code, ha="right", va="center_baseline")
        y += side
    heat.text(0, (first + y) / 2, "unlearned alone", size=8.5, rotation=90, va="center")
    heat.height = y
    return heat, LABELS + span


def _every(side: float) -> int:
    """Of so many rows or columns one is labelled: labels need room."""
    return max(1, -int(-(LINE + 4) // side)) if side < 14 else 1


def _bands(heat: Canvas, row: Sequence[Cell], xs: dict[str, float], y: float) -> None:
    """The regions' names above the blocks of one kind of unlearned concepts."""
    for kind in TARGETS:
        block = [cell for cell in row if cell.tested.kind == kind]
        regions = sorted({cell.region for cell in block} - {""})
        if regions:
            heat.text(xs[block[0].tested.id], y, " · ".join(regions), weight="bold")


def _row(
    heat: Canvas, row: Sequence[Cell], xs: dict[str, float], y: float, side: float, *, numbers: bool
) -> None:
    for cell in row:
        x = xs[cell.tested.id]
        if cell.value is None:
            heat.box(x, y, side, side, fc="white", ec="#AAAAAA", hatch="////", lw=0.5, gid=_name(cell))
            continue
        colour = shade(cell.value)
        heat.box(x, y, side, side, fc=colour, ec="#DDDDDD", lw=0.5, gid=_name(cell))
        if cell.region[:1] == "A":
            heat.box(x + 0.6, y + 0.6, side - 1.2, side - 1.2, fc="none", ec=OUTLINE, lw=1.6, zorder=3)
        if numbers:
            centred = {"ha": "center", "va": "center_baseline", "color": style.ink_on(colour), "zorder": 4}
            heat.text(x + side / 2, y + side / 2, f"{cell.value:.0f}", gid=_name(cell), **centred)


def _name(cell: Cell) -> str:
    """How a cell's shapes are called in the figure: what is unlearned and what is tested."""
    return f"{cell.unlearned.id if cell.unlearned else FINETUNED}/{cell.tested.id}"


def shade(value: float) -> Any:
    """The colour of a cell: the less is left, the darker, as in the paper."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("left", SHADES)(value / 100)


def _colour_bar() -> Canvas:
    bar, steps, wide = Canvas(), 50, 100.0
    for step in range(steps):
        colour = shade(100 * step / (steps - 1))
        bar.box(wide / steps * step + 16, 0, wide / steps + 0.2, 8, fc=colour, lw=0)
    bar.box(16, 0, wide, 8, fc="none", ec="black", lw=0.6)
    bar.text(12, -1.5, "0", ha="right")
    bar.text(20 + wide, -1.5, "100 left")
    return bar


def _explanation(study: Study, judge: str) -> str:
    """What the map shows, what is hatched, and who judged the answers beside it."""
    reasons = ", ".join(sorted({cell.reason for cell in study.cells if cell.value is None}))
    hatched = f" Hatched: no value ({reasons})." if reasons else ""
    by = (
        f" Judge of G-Eval: {judge}; 0 as finetuned, 100 as the goal model."
        if judge and study.verdicts
        else ""
    )
    return REGIONS + hatched + by


def _names(concepts: Sequence[Concept], width: float) -> Canvas:
    """Codes and names, in two columns where there are many; none where cells have no numbers either."""
    names = Canvas()
    if len(concepts) > NUMBERS:
        return names
    columns = 1 if len(concepts) <= 6 else 2
    room, rows = width / columns, -(-len(concepts) // columns)
    indent = 6 + max(text_width(one.code, weight="bold") for one in concepts)
    for at, one in enumerate(concepts):
        x, y = room * (at // rows), LINE * (at % rows)
        names.text(x, y, one.code, weight="bold")
        names.text(x + indent, y, shorten(one.title, room - indent - 6))
    return names
