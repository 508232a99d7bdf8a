"""The page that shows how filters and raters agree, and where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmunlearn.records import Candidate
from mmunlearn.reporting.layout import Row
from mmunlearn.reporting.page_pictures import as_listed, data_uri, spread
from mmunlearn.review.audit import Rater
from mmunlearn.review.templates import render

TILES = 24  # pictures of a kind of disagreement
SIDE = 192
PAPER_RECALL = "98"


def agreement_page(
    table: Sequence[Row],
    raters: Sequence[Rater],
    rows: Mapping[str, Candidate],
    flagged: Mapping[str, frozenset[str]],
    *,
    share: float,
    outdated: int,
    manifest: Path,
) -> str:
    """The page as HTML.

    Args:
        table: all rows of the table.
        raters: those whose disagreements with the filters are shown, at most `TILES` each way, evenly spaced.
        rows, flagged: candidate and refusing filters of every item.
        share: of the candidates, on the sample.
        outdated: verdicts that are about no picture of the manifest.
        manifest: the file that lists the pictures.

    Raises:
        RecordError: a picture is another than listed.
    """
    disagreements = []
    for rater in raters:
        missed = [item for item, bad in sorted(rater.bad.items()) if bad and not flagged[item]]
        extra = [item for item, bad in sorted(rater.bad.items()) if not bad and flagged[item]]
        for title, items in (("rejected, but not flagged", missed), ("flagged, but not rejected", extra)):
            tiles = [
                {
                    "item": item,
                    "uri": data_uri(as_listed(Path(rows[item].path), [rows[item].sha256], manifest), SIDE),
                    "flagged": ", ".join(sorted(flagged[item])),
                    "note": rater.notes.get(item, ""),
                }
                for item in spread(items, TILES)
            ]
            disagreements.append({"judge": rater.name, "title": title, "count": len(items), "tiles": tiles})
    return render(
        "agreement",
        table=table,
        paper=PAPER_RECALL,
        share=f"{100 * share:g}",
        outdated=outdated,
        disagreements=disagreements,
    )
