"""What the picture filters did: how much each refused and, where defects were planted, how well.

Recall of a filter is taken over the defects it is meant for (`MEANT_FOR`); precision is the share of its
refusals that had any defect, meant or not, because refusing a picture with another defect is no mistake. The
chain is all filters together: recall and precision over all defects. No face and several faces count as a refusal
by the identity filter, which has nothing to measure then, an unlike pair of scenes as one by the scene filter; each is
counted on its own besides. What people refuse is counted apart; `surplus` candidates passed every filter.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmunlearn.records import DEFECTS, Candidate, RecordError, Truth, read_jsonl, read_manifest, write_json
from mmunlearn.synthesis.policy import (
    AWAITING,
    FILTER_OF,
    REVIEW,
    SURPLUS,
    AcceptanceError,
    Thresholds,
    reasons_by,
)

logger = logging.getLogger(__name__)

MEANT_FOR = {
    "identity": ("identity",),
    "scene": ("scene",),
    "subject": ("cutoff",),
    "distortion": ("blur", "noise"),
    "aesthetic": ("cutoff",),
}
BY_PEOPLE = (REVIEW, AWAITING)


Key = tuple[str, int]  # image id and attempt


def check_images(
    manifest: Path,
    truth: Path | Sequence[Path],
    output: Path,
    min_accepted_share: float,
    thresholds: Mapping[str, float] | None = None,
    listed: Path | Sequence[Path] = (),
) -> None:
    """Count refusals, compare them with the planted truth, and insist on enough accepted cells.

    Args:
        manifest: images/manifest.parquet.
        truth: rows of `Truth` (JSON lines), one for every candidate; empty where nothing was planted.
        output: JSON with `enforced` (no `thresholds`), `cells`, `accepted` (cells with an accepted picture),
            `candidates`, `surplus`, `no_face`, `several_faces`, `scene_pair`, `review`, `awaiting_review`, `filters`
            and `chain` (see `_verdict`), `by_defect` ({defect: planted, rejected}) and `clean` (the candidates without
            a defect: candidates, rejected; both None without a truth file).
        min_accepted_share: least share of cells with an accepted picture, 0 to 1.
        thresholds: settings of `Thresholds`, of filters that refused nothing: what they would have refused is counted
            in `filters` and `chain`. None: what they did refuse.
        listed: report of `curation.picture_list`: the log repeats how many it left out; empty where pictures are drawn.

    Raises:
        AcceptanceError: fewer cells have an accepted picture. Snakemake removes the output of a failed job, so the
            statistics and the names of all these cells are in `<output>_failed.json` beside it.
        RecordError: an input is not what its name promises, or the truth does not cover every candidate.
    """
    candidates = read_manifest(manifest)
    limits = None if thresholds is None else Thresholds(**thresholds)
    refusals = {(one.image_id, one.attempt): _filters_of(one, manifest, limits) for one in candidates}
    defects = _read_truth(truth, refusals) if truth else None
    cells = sorted({one.image_id for one in candidates})
    accepted = {one.image_id for one in candidates if one.accepted}
    statistics = {
        "enforced": limits is None,
        "cells": len(cells),
        "accepted": len(accepted),
        "candidates": len(candidates),
        **{
            reason.replace(" ", "_"): sum(reason in one.reject_reason.split(", ") for one in candidates)
            for reason in (SURPLUS, *FILTER_OF, *BY_PEOPLE)
        },
        **_all_verdicts(refusals, defects),
    }
    write_json(output, statistics)
    logger.info("%s", readable(statistics))
    if listed and (left := json.loads(listed.read_text(encoding="utf-8"))["files left out"]):
        logger.warning("Files left out, of which nothing was scored: %d; see %s", left, listed)
    waiting = {one.image_id for one in candidates if one.reject_reason == AWAITING}
    empty = [cell for cell in cells if cell not in accepted]
    failed = output.with_name(f"{output.stem}_failed.json")
    failed.unlink(missing_ok=True)
    if len(accepted) < min_accepted_share * len(cells) or not accepted:
        write_json(failed, statistics | {"without_picture": empty, "awaiting_review_cells": sorted(waiting)})
        raise AcceptanceError(_explain(cells, empty, waiting, min_accepted_share, failed))


def readable(statistics: dict[str, Any]) -> str:
    """The statistics as a table of fixed width, for the log; counts alone where no defects were planted."""
    head = "{accepted} of {cells} cells accepted from {candidates} candidates".format(**statistics)
    verdicts = statistics["filters"] | {"chain": statistics["chain"]}
    if statistics["chain"]["truth"] == "none":
        names = [*statistics["filters"], "any filter"]
        title = f"{'filter':<11}{'refused' if statistics['enforced'] else 'would refuse':>13}"
        rows = zip(names, verdicts.values(), strict=True)
        return "\n".join([head, title, *(f"{name:<11}{one['rejected']:>13}" for name, one in rows)])
    lines = [
        head,
        f"{'filter':<11}{'rejected':>9}{'recall':>8}{'precision':>11}  truth",
    ]
    for name, verdict in verdicts.items():
        recall, precision = (
            "-" if verdict[key] is None else f"{verdict[key]:.3f}" for key in ("recall", "precision")
        )
        lines.append(f"{name:<11}{verdict['rejected']:>9}{recall:>8}{precision:>11}  {verdict['truth']}")
    return "\n".join(lines)


def _filters_of(one: Candidate, manifest: Path, limits: Thresholds | None) -> set[str]:
    """Names of the filters that refused a candidate, or that would by these limits."""
    names = {part for part in one.reject_reason.split(", ") if part and part not in (SURPLUS, *BY_PEOPLE)}
    if limits is not None:
        names |= {*reasons_by(one, limits)}
    unknown = names - MEANT_FOR.keys() - FILTER_OF.keys()
    if unknown:
        raise RecordError(
            f"Asked for the filters that refused {one.image_id}, attempt {one.attempt} of {manifest}. "
            f"Found {', '.join(sorted(unknown))}; known are {', '.join((*MEANT_FOR, *FILTER_OF))}. "
            "Make the manifest again."
        )
    return {FILTER_OF.get(name, name) for name in names}


def _read_truth(path: Path, candidates: Collection[Key]) -> dict[Key, str]:
    defects = {(row.image_id, row.attempt): row.defect for row in read_jsonl(path, Truth)}
    unknown = [key for key in candidates if key not in defects]
    if unknown:
        raise RecordError(
            f"Asked for the planted defect of {len(candidates)} candidates. Found {len(unknown)} without one "
            f"in {path}, first {unknown[0][0]}, attempt {unknown[0][1]}. Draw pictures and truth in one run."
        )
    return {key: defects[key] for key in candidates}


def _all_verdicts(refusals: Mapping[Key, set[str]], defects: Mapping[Key, str] | None) -> dict[str, Any]:
    refused = {key for key, names in refusals.items() if names}
    by_defect = {}
    for defect in DEFECTS:
        planted = {key for key, name in (defects or {}).items() if name == defect}
        if planted:
            by_defect[defect] = {"planted": len(planted), "rejected": len(planted & refused)}
    clean = {key for key, defect in (defects or {}).items() if not defect}
    counts = {"candidates": len(clean), "rejected": len(clean & refused)}
    return {
        "filters": {
            name: _verdict({key for key, names in refusals.items() if name in names}, defects, meant)
            for name, meant in MEANT_FOR.items()
        },
        "chain": _verdict(refused, defects, DEFECTS),
        "by_defect": by_defect,
        "clean": dict.fromkeys(counts) if defects is None else counts,
    }


def _verdict(refused: set[Key], defects: Mapping[Key, str] | None, meant: Sequence[str]) -> dict[str, Any]:
    """One filter against the truth: counts of candidates and shares (0 to 1, None for 0 of 0).

    `true_positive`: refused with a defect the filter is meant for; `other_defect`: refused with another
    defect; `false_positive`: refused though clean; `false_negative`: passed with a defect the filter is
    meant for. recall = true_positive / (true_positive + false_negative); precision = (true_positive +
    other_defect) / rejected; clean_rejected_share = false_positive / clean candidates.
    """
    if defects is None:
        keys = ("true_positive", "other_defect", "false_positive", "false_negative")
        shares = ("recall", "precision", "clean_rejected_share")
        return {"rejected": len(refused), "truth": "none", **dict.fromkeys((*shares, *keys))}
    planted = {key for key, defect in defects.items() if defect in meant}
    clean = {key for key, defect in defects.items() if not defect}
    false_positive = len(refused & clean)
    return {
        "rejected": len(refused),
        "truth": "planted: " + ", ".join(meant),
        "recall": _share(len(refused & planted), len(planted)),
        "precision": _share(len(refused) - false_positive, len(refused)),
        "clean_rejected_share": _share(false_positive, len(clean)),
        "true_positive": len(refused & planted),
        "other_defect": len(refused - planted - clean),
        "false_positive": false_positive,
        "false_negative": len(planted - refused),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _explain(cells: list[str], empty: list[str], waiting: set[str], least: float, failed: Path) -> str:
    named = ", ".join(empty[:10]) + (f" and {len(empty) - 10} more" if len(empty) > 10 else "")
    have = len(cells) - len(empty)
    share = have / len(cells) if cells else 0.0
    todo = (
        "Draw more candidates a cell (images.max_attempts), loosen the filter that refuses most (images.thresholds), "
        "or lower images.min_accepted_share."
    )
    if waiting:
        todo = (
            f"{len(waiting)} of them have a picture that awaits review: `make review` writes the pages; judge, and "
            "save the CSV files into the folder that review.verdicts names."
        )
    return (
        f"Asked for an accepted picture in at least {least:.1%} of the cells. Found one in {have} of {len(cells)} "
        f"({share:.1%}); none for {named or 'any'}. {failed} names all of them and counts what each filter refused. "
        f"{todo}"
    )
