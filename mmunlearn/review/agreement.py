"""Do the automatic filters refuse what people refuse? The comparison on a sample, and against planted defects.

PEBench, section III-B: on 10% of the samples, 98% of what people found to be of low quality was flagged by the
filters, too. A judge is one reviewer, all of them together, or the planted truth; what the judge rejects is the
positive class, so that recall is the paper's number.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmunlearn.ids import candidate_id
from mmunlearn.records import Candidate, RecordError, Truth, read_jsonl, read_manifest, write_text
from mmunlearn.reporting.layout import Row, number, write_table
from mmunlearn.review.agreement_page import PAPER_RECALL, agreement_page
from mmunlearn.review.sample import sample_item, sample_of
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
COLUMNS = (
    "judge",
    "compared_on",
    "filter",
    "pictures",
    "rejected_by_judge",
    "flagged_of_rejected",
    "recall_percent",
    "recall_low",
    "recall_high",
    "precision_percent",
    "true_positive",
    "false_positive",
    "false_negative",
    "true_negative",
    "reason",
)
Z = 1.959963984540054  # 97.5% quantile of the normal distribution

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judge:
    """Whose word the filters are compared with.

    `bad` says of every judged candidate (by `sample_item`) whether the judge rejects it, `notes` why where that is
    known; `reason` says why nothing was judged.
    """

    name: str
    on: str
    bad: Mapping[str, bool]
    reason: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


def compare_filters(
    manifest: Path,
    verdicts: Sequence[Path],
    truth: Path | None,
    table_csv: Path,
    table_md: Path,
    page: Path,
    *,
    share: float,
    seed: int,
    reviewers: int = 0,
) -> None:
    """Write the comparison as a table (CSV and Markdown) and as a page with the disagreements.

    Args:
        manifest: images/manifest.parquet.
        verdicts: CSV files of the reviewers; those of kind `sample` count whose picture is still the manifest's.
        truth: rows of `Truth`, one for every candidate; None where nothing was planted.
        share, seed: of the sample, as on its page.
        reviewers: people who must have judged a picture before it counts for `all reviewers`; at least 1.

    Raises:
        RecordError: an input is not what its name promises, or the truth does not cover every candidate.
    """
    rows = {sample_item(row): row for row in read_manifest(manifest)}
    flagged = {item: flags(row, manifest) for item, row in rows.items()}
    said = [one for one in read_verdicts(verdicts) if one.kind == "sample"]
    valid = [one for one in said if one.item in rows and rows[one.item].sha256 == one.digest]
    sample = {sample_item(row) for row in sample_of(list(rows.values()), share, seed)}
    people = _reviewers(valid, max(reviewers, 1))
    planted = _planted(truth, rows, sample)
    table = [line for judge in (*people, *planted) for line in _lines(judge, flagged)]
    write_table(table_csv, COLUMNS, table)
    write_text(table_md, _markdown(table))
    shown = [people[-1]] * bool(people[-1].bad) + [judge for judge in planted if judge.on == WHOLE]
    outdated = len(said) - len(valid)
    write_text(page, agreement_page(table, shown, rows, flagged, share=share, outdated=outdated))
    for line in table:
        if line["filter"] == ANY:
            share_flagged = f"{line['recall_percent']}% of what is rejected was flagged"
            log.info(
                "%s, %s: %s",
                line["judge"],
                line["compared_on"],
                share_flagged if line["recall_percent"] else line["reason"],
            )


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


def _reviewers(verdicts: Sequence[Verdict], needed: int) -> list[Judge]:
    """Each reviewer, by name, then all of them: a picture is bad when anyone rejects it."""
    by_name: dict[str, list[Verdict]] = {}
    by_item: dict[str, list[Verdict]] = {}
    for one in verdicts:
        by_name.setdefault(reviewer_key(one.reviewer), []).append(one)
        by_item.setdefault(one.item, []).append(one)
    judges = [
        Judge(f"reviewer {own[-1].reviewer}", SAMPLE, {one.item: one.verdict == "reject" for one in own})
        for _, own in sorted(by_name.items())
    ]
    enough = {item: own for item, own in by_item.items() if len(own) >= needed}
    bad = {item: any(one.verdict == "reject" for one in own) for item, own in enough.items()}
    notes = {
        item: "; ".join(one.note for one in own if one.verdict == "reject" and one.note)
        for item, own in enough.items()
    }
    by = "anyone" if needed == 1 else f"{needed} people"
    reason = f"no picture of the sample has been judged by {by} yet"
    return [*judges, Judge(EVERYONE, SAMPLE, bad, reason, notes)]


def _planted(truth: Path | None, rows: Mapping[str, Candidate], sample: Iterable[str]) -> list[Judge]:
    if truth is None:
        return []
    defects = {candidate_id(one.image_id, one.attempt): one.defect for one in read_jsonl(truth, Truth)}
    unknown = [item for item in rows if item not in defects]
    if unknown:
        raise RecordError(
            f"Asked for the planted defect of {len(rows)} candidates. Found {len(unknown)} without one in {truth}, "
            f"first {unknown[0]}. Draw pictures and truth in one run."
        )
    reason = "the manifest has no candidates"
    return [
        Judge(PLANTED, on, {item: bool(defects[item]) for item in items}, reason, defects)
        for on, items in ((SAMPLE, sorted(sample)), (WHOLE, sorted(rows)))
    ]


def _lines(judge: Judge, flagged: Mapping[str, frozenset[str]]) -> list[Row]:
    """The judge's rows of the table: all filters together, then each."""
    lines = []
    for name in (ANY, *FILTERS):
        refused = {item for item in judge.bad if (flagged[item] if name == ANY else name in flagged[item])}
        bad = {item for item, is_bad in judge.bad.items() if is_bad}
        lines.append(
            {"judge": judge.name, "compared_on": judge.on, "filter": name} | _counts(judge, bad, refused)
        )
    return lines


def _counts(judge: Judge, bad: set[str], refused: set[str]) -> Row:
    if not judge.bad:
        return dict.fromkeys(COLUMNS[3:], "") | {"reason": judge.reason}
    both = len(bad & refused)
    low, high = wilson(both, len(bad)) if bad else (None, None)
    empty = [] if bad else ["recall: nothing was rejected"]
    empty += [] if refused else ["precision: nothing was flagged"]
    return {
        "pictures": str(len(judge.bad)),
        "rejected_by_judge": str(len(bad)),
        "flagged_of_rejected": str(both) if bad else "",
        "recall_percent": _percent(both / len(bad) if bad else None),
        "recall_low": _percent(low),
        "recall_high": _percent(high),
        "precision_percent": _percent(both / len(refused) if refused else None),
        "true_positive": str(both),
        "false_positive": str(len(refused - bad)),
        "false_negative": str(len(bad - refused)),
        "true_negative": str(len(judge.bad) - len(bad | refused)),
        "reason": "; ".join(empty),
    }


def _percent(share: float | None) -> str:
    return number(None if share is None else 100 * share)


def _markdown(table: Sequence[Row]) -> str:
    """Two Markdown tables: all filters together, and each of them for the judges who have judged anything."""
    together = [line for line in table if line["filter"] == ANY]
    single = [line for line in table if line["filter"] != ANY and line["pictures"]]
    lines = _markdown_table(together)
    lines += [
        "",
        f"Recall is the share of what the judge rejects that the filters flagged; paper: {PAPER_RECALL}%.",
    ]
    if single:
        lines += [
            "",
            "Filter by filter, each against everything that the judge rejects:",
            "",
            *_markdown_table(single),
        ]
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
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join("\\" + sign if sign in "\\|*_`[]" else sign for sign in plain) or "–"
