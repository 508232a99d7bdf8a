"""Agreement of the automatic filters with people, on a sample, and with planted defects.

PEBench, section III-B: on 10% of the samples, 98% of what people found to be of low quality was flagged by the
filters, too. A rater is one reviewer, all of them together, or the planted truth; what the rater rejects is the
positive class, so that recall is the paper's number.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmunlearn.escape import markdown
from mmunlearn.records import Candidate, RecordError, Truth, read_jsonl, read_manifest, write_text
from mmunlearn.reporting.layout import MISSING, Row, number, write_table
from mmunlearn.review.agreement_page import PAPER_RECALL, agreement_page
from mmunlearn.review.audit import Rater, audit_item, draw_audit
from mmunlearn.synthesis.policy import AWAITING, NO_FACE, REVIEW, SCENE_PAIR, SEVERAL_FACES, SURPLUS
from mmunlearn.verdicts import Verdict, read_verdicts, reviewer_key

EVERYONE, PLANTED = "all reviewers", "planted truth"
SAMPLE, WHOLE = "sample", "all candidates"
ANY = "any filter"
FILTERS: Mapping[str, tuple[str, ...]] = {  # filter -> its reasons in the manifest
    "identity": ("identity", NO_FACE, SEVERAL_FACES),
    "scene": ("scene",),
    "subject": ("subject",),
    "distortion": ("distortion",),
    "aesthetic": ("aesthetic",),
    SCENE_PAIR: (SCENE_PAIR,),
}
NOT_FILTERS = {"", SURPLUS, REVIEW, AWAITING}
COLUMNS = ("judge", "compared_on", "filter", "pictures", "rejected_by_judge", "flagged_of_rejected", "recall_percent",
           "recall_low", "recall_high", "precision_percent", "true_positive", "false_positive", "false_negative",
           "true_negative", "reason")  # fmt: skip
Z = 1.959963984540054  # 97.5% quantile of the normal distribution

log = logging.getLogger(__name__)


def compare_filters(
    *,
    manifest: Path,
    verdicts: Sequence[Path],
    truth: Path | Sequence[Path],
    csv: Path,
    md: Path,
    page: Path,
    share: float,
    seed: int,
    reviewers: int = 0,
) -> None:
    """Write the comparison as a table (CSV and Markdown) and as a page with the disagreements.

    Args:
        manifest: images/manifest.parquet.
        verdicts: CSV files of the reviewers; those of kind `sample` count whose picture is still the manifest's.
        truth: rows of `Truth`, one for every candidate; empty where nothing was planted.
        csv, md, page: to be written.
        share, seed: of the sample, as on its page.
        reviewers: people who must have judged a picture before it counts for `all reviewers`; at least 1.

    Raises:
        RecordError: an input is not what its name promises, the truth does not cover every candidate, or a
            picture is another than listed.
    """
    rows = {audit_item(row): row for row in read_manifest(manifest)}
    flagged = {item: flags(row, manifest) for item, row in rows.items()}
    judged = [one for one in read_verdicts(verdicts) if one.kind == "sample"]
    valid = [one for one in judged if one.item in rows and rows[one.item].sha256 == one.digest]
    sample = [audit_item(row) for row in draw_audit(list(rows.values()), share, seed)]
    people = _reviewers(valid, max(reviewers, 1))
    planted = _planted(truth, rows, sample) if truth else []
    table = [line for rater in (*people, *planted) for line in _lines(rater, flagged)]
    write_table(csv, COLUMNS, table)
    write_text(md, _markdown(table))
    together = [people[-1]] if people[-1].bad else []
    compared = together + [rater for rater in planted if rater.on == WHOLE]
    outdated = len(judged) - len(valid)
    text = agreement_page(table, compared, rows, flagged, share=share, outdated=outdated, manifest=manifest)
    write_text(page, text)
    for line in table:
        if line["filter"] == ANY:
            recall = line["recall_percent"]
            result = f"{recall}% of what is rejected was flagged" if recall else line["reason"]
            log.info("%s, %s: %s", line["judge"], line["compared_on"], result)


def flags(row: Candidate, manifest: Path) -> frozenset[str]:
    """Names of the filters that refused a candidate; what people did to it is no filter's doing."""
    reasons = set(row.reject_reason.split(", ")) - NOT_FILTERS
    unknown = reasons - {reason for names in FILTERS.values() for reason in names}
    if unknown:
        raise RecordError(
            f"Asked for the filters that refused {row.image_id}, attempt {row.attempt} of {manifest}. Found "
            f"{', '.join(sorted(unknown))}; known are {', '.join(FILTERS)}. Make the manifest again."
        )
    return frozenset(name for name, names in FILTERS.items() if reasons & set(names))


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95% interval of Wilson (1927) for a share of `part` in `whole` > 0, 0 to 1."""
    share, square = part / whole, Z**2 / whole
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / whole + square / (4 * whole)) / (1 + square)
    return (max(0.0, middle - half) if part else 0.0, min(1.0, middle + half) if part < whole else 1.0)


def _reviewers(verdicts: Sequence[Verdict], needed: int) -> list[Rater]:
    """Each reviewer, by name, then all of them: a picture is bad when anyone rejects it."""
    by_name: dict[str, list[Verdict]] = {}
    by_item: dict[str, list[Verdict]] = {}
    for one in verdicts:
        by_name.setdefault(reviewer_key(one.reviewer), []).append(one)
        by_item.setdefault(one.item, []).append(one)
    raters = [
        Rater(f"reviewer {rows[-1].reviewer}", SAMPLE, {one.item: one.verdict == "reject" for one in rows})
        for _, rows in sorted(by_name.items())
    ]
    rejecting = {
        item: [one for one in rows if one.verdict == "reject"]
        for item, rows in by_item.items()
        if len(rows) >= needed
    }
    bad = {item: bool(rows) for item, rows in rejecting.items()}
    notes = {item: "; ".join(one.note for one in rows if one.note) for item, rows in rejecting.items()}
    by = "anyone" if needed == 1 else f"{needed} people"
    reason = f"no picture of the sample has been judged by {by} yet"
    return [*raters, Rater(EVERYONE, SAMPLE, bad, reason, notes)]


def _planted(truth: Path, rows: Mapping[str, Candidate], sample: Iterable[str]) -> list[Rater]:
    defects = {audit_item(one): one.defect for one in read_jsonl(truth, Truth)}
    unknown = [item for item in rows if item not in defects]
    if unknown:
        raise RecordError(
            f"Asked for the planted defect of {len(rows)} candidates. Found {len(unknown)} without one in {truth}, "
            f"first {unknown[0]}. Draw pictures and truth in one run."
        )
    reason = "the manifest has no candidates"
    return [
        Rater(PLANTED, on, {item: bool(defects[item]) for item in sorted(items)}, reason, defects)
        for on, items in ((SAMPLE, sample), (WHOLE, rows))
    ]


def _lines(rater: Rater, flagged: Mapping[str, frozenset[str]]) -> list[Row]:
    """The rater's rows of the table: all filters together, then each."""
    bad = {item for item, is_bad in rater.bad.items() if is_bad}
    lines = []
    for name in (ANY, *FILTERS):
        refused = {item for item in rater.bad if (flagged[item] if name == ANY else name in flagged[item])}
        place = {"judge": rater.name, "compared_on": rater.on, "filter": name}
        lines.append(place | _counts(rater, bad, refused))
    return lines


def _counts(rater: Rater, bad: set[str], refused: set[str]) -> Row:
    if not rater.bad:
        return dict.fromkeys(COLUMNS[3:], "") | {"reason": rater.reason}
    both = len(bad & refused)
    low, high = wilson(both, len(bad)) if bad else (None, None)
    empty = [] if bad else ["recall: nothing was rejected"]
    empty += [] if refused else ["precision: nothing was flagged"]
    return {
        "pictures": str(len(rater.bad)),
        "rejected_by_judge": str(len(bad)),
        "flagged_of_rejected": str(both) if bad else "",
        "recall_percent": _percent(both / len(bad) if bad else None),
        "recall_low": _percent(low),
        "recall_high": _percent(high),
        "precision_percent": _percent(both / len(refused) if refused else None),
        "true_positive": str(both),
        "false_positive": str(len(refused - bad)),
        "false_negative": str(len(bad - refused)),
        "true_negative": str(len(rater.bad) - len(bad | refused)),
        "reason": "; ".join(empty),
    }


def _percent(share: float | None) -> str:
    return number(None if share is None else 100 * share)


def _markdown(table: Sequence[Row]) -> str:
    """Two Markdown tables: all filters together, and each of them for the raters who have judged anything."""
    lines = _markdown_table([line for line in table if line["filter"] == ANY])
    lines += [
        "",
        f"Recall is the share of what the judge rejects that the filters flagged; paper: {PAPER_RECALL}%.",
    ]
    if single := [line for line in table if line["filter"] != ANY and line["pictures"]]:
        lines += ["", "Filter by filter, each against everything that the judge rejects:", ""]
        lines += _markdown_table(single)
    return "\n".join(lines) + "\n"


def _markdown_table(rows: Sequence[Row]) -> list[str]:
    heads = ("Judge", "Compared on", "Filter", "Pictures", "Rejected", "Flagged of these", "Recall, % (95% interval)",
             "Precision, %", "TP", "FP", "FN", "TN", "Empty because")  # fmt: skip
    names = [name for name in COLUMNS if name not in ("recall_low", "recall_high")]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---" + "|---:" * 9 + "|---|"]
    for row in rows:
        interval = f" ({row['recall_low']} to {row['recall_high']})" if row["recall_percent"] else ""
        cells = row | {"recall_percent": row["recall_percent"] + interval}
        lines.append("| " + " | ".join(_cell(cells[name]) for name in names) + " |")
    return lines


def _cell(text: str) -> str:
    return markdown(text) or MISSING
