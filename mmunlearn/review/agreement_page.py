"""The page that shows how filters and judges agree, and where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mmunlearn.records import Candidate
from mmunlearn.reporting.layout import Row
from mmunlearn.reporting.page_pictures import data_uri, spread
from mmunlearn.review.templates import render

SHOWN = 24
SIDE = 192
PAPER_RECALL = "98"


class Judged(Protocol):
    """What the page asks of a judge; see `agreement.Judge`."""

    name: str
    on: str
    bad: Mapping[str, bool]
    notes: Mapping[str, str]


def agreement_page(
    table: Sequence[Row],
    judges: Sequence[Judged],
    rows: Mapping[str, Candidate],
    flagged: Mapping[str, frozenset[str]],
    *,
    share: float,
    outdated: int,
) -> str:
    """The page as HTML.

    Args:
        table: all rows of the table.
        judges: those whose disagreements with the filters are shown, at most `SHOWN` each way, evenly spaced.
        rows, flagged: candidate and refusing filters of every item.
        share: of the candidates, on the sample.
        outdated: verdicts that are about no picture of the manifest.
    """
    disagreements = []
    for judge in judges:
        missed = [item for item, bad in sorted(judge.bad.items()) if bad and not flagged[item]]
        extra = [item for item, bad in sorted(judge.bad.items()) if not bad and flagged[item]]
        for title, items in (("rejected, but not flagged", missed), ("flagged, but not rejected", extra)):
            tiles = [_tile(item, rows[item], flagged[item], judge) for item in spread(items, SHOWN)]
            disagreements.append({"judge": judge.name, "title": title, "count": len(items), "tiles": tiles})
    return render(
        "agreement",
        table=table,
        paper=PAPER_RECALL,
        share=f"{100 * share:g}",
        outdated=outdated,
        disagreements=disagreements,
    )


def _tile(item: str, row: Candidate, filters: frozenset[str], judge: Judged) -> dict[str, str]:
    return {
        "item": item,
        "uri": data_uri(Path(row.path), SIDE),
        "flagged": ", ".join(sorted(filters)),
        "note": judge.notes.get(item, ""),
    }
