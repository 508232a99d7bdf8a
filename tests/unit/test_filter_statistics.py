"""Filter statistics: counts, recall and precision against planted defects, and the least accepted share."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.records import Candidate, RecordError, write_manifest
from mmunlearn.reporting.filter_statistics import MEANT_FOR, AcceptanceError, filter_statistics
from tests.unit.report_fixtures import candidate

# image, attempt, reject reason, planted defect
ROWS = [
    ("p000-e00", 0, "identity, subject", "identity"),
    ("p000-e00", 1, "", ""),
    ("p000-e00", 2, "surplus", ""),
    ("p000-e01", 0, "no face", "cutoff"),
    ("p000-e01", 1, "", "blur"),
    ("p001-e00", 0, "distortion", "noise"),
    ("p001-e00", 1, "identity", ""),
    ("p001-e00", 2, "", ""),
    ("p001-e01", 0, "", "identity"),
]


def _candidates() -> list[Candidate]:
    return [candidate(image_id, attempt, reason) for image_id, attempt, reason, _ in ROWS]


def _truth() -> list[dict[str, Any]]:
    return [{"image_id": row[0], "attempt": row[1], "defect": row[3]} for row in ROWS]


def _run(folder: Path, truth: Path | None, least: float = 0.5) -> dict[str, Any]:
    write_manifest(folder / "manifest.parquet", _candidates())
    filter_statistics(folder / "manifest.parquet", truth, folder / "filters.json", least)
    return json.loads((folder / "filters.json").read_text())


def _jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "truth.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_recall_is_over_the_defects_a_filter_is_meant_for(tmp_path: Path) -> None:
    found = _run(tmp_path, _jsonl(tmp_path, _truth()))
    assert (found["cells"], found["accepted"], found["candidates"]) == (4, 4, 9)
    assert (found["surplus"], found["no_face"]) == (1, 1)
    identity = found["filters"]["identity"]
    assert identity == {
        "rejected": 3, "truth": "planted: identity", "recall": 0.5, "precision": 0.6667,
        "clean_rejected_share": 0.25, "true_positive": 1, "other_defect": 1, "false_positive": 1,
        "false_negative": 1,
    }  # fmt: skip
    assert found["filters"]["distortion"]["recall"] == 0.5
    assert found["filters"]["subject"]["recall"] == 0.0
    assert found["filters"]["subject"]["precision"] == 1.0
    assert found["filters"]["scene"] | {"truth": ""} == {
        "rejected": 0, "truth": "", "recall": None, "precision": None, "clean_rejected_share": 0.0,
        "true_positive": 0, "other_defect": 0, "false_positive": 0, "false_negative": 0,
    }  # fmt: skip


def test_the_chain_counts_every_defect(tmp_path: Path) -> None:
    found = _run(tmp_path, _jsonl(tmp_path, _truth()))
    chain = found["chain"]
    assert (chain["rejected"], chain["true_positive"], chain["false_positive"], chain["false_negative"]) == (
        4,
        3,
        1,
        2,
    )
    assert (chain["recall"], chain["precision"], chain["clean_rejected_share"]) == (0.6, 0.75, 0.25)
    assert found["by_defect"] == {
        "identity": {"planted": 2, "rejected": 1},
        "blur": {"planted": 1, "rejected": 0},
        "noise": {"planted": 1, "rejected": 1},
        "cutoff": {"planted": 1, "rejected": 1},
    }
    assert found["clean"] == {"candidates": 4, "rejected": 1}


def test_truth_may_be_parquet_in_any_order_with_further_columns(tmp_path: Path) -> None:
    import pandas as pd

    expected = _run(tmp_path, _jsonl(tmp_path, _truth()))
    pd.DataFrame(_truth()[::-1]).assign(note="x").to_parquet(tmp_path / "truth.parquet")
    assert _run(tmp_path, tmp_path / "truth.parquet") == expected


def test_without_a_truth_there_is_no_recall(tmp_path: Path) -> None:
    found = _run(tmp_path, None)
    assert set(found["filters"]) == set(MEANT_FOR)
    for verdict in (*found["filters"].values(), found["chain"]):
        assert (verdict["truth"], verdict["recall"], verdict["precision"]) == ("none", None, None)
    assert (found["chain"]["rejected"], found["by_defect"], found["clean"]["candidates"]) == (4, {}, None)


def test_the_log_holds_a_readable_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _run(tmp_path, _jsonl(tmp_path, _truth()))
    assert "4 of 4 cells accepted from 9 candidates" in caplog.text
    assert "chain              4   0.600      0.750" in caplog.text


def test_too_few_accepted_cells_is_an_error_that_names_them(tmp_path: Path) -> None:
    rows = [candidate(f"p{n:03d}-e00", 0, "scene" if n < 12 else "") for n in range(16)]
    write_manifest(tmp_path / "manifest.parquet", rows)
    arguments = (tmp_path / "manifest.parquet", None, tmp_path / "filters.json")
    with pytest.raises(
        AcceptanceError, match=r"at least 30\.0%.*in 4 of 16 \(25\.0%\).*p009-e00 and 2 more.*Draw"
    ):
        filter_statistics(*arguments, 0.3)
    assert (tmp_path / "filters.json").exists()
    filter_statistics(*arguments, 0.25)


def test_no_candidates_at_all_is_an_error(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", [])
    with pytest.raises(AcceptanceError, match="0 of 0"):
        filter_statistics(tmp_path / "manifest.parquet", None, tmp_path / "filters.json", 0.99)


def test_truth_must_cover_every_candidate(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"9 candidates. Found 1 without.*p001-e01, attempt 0"):
        _run(tmp_path, _jsonl(tmp_path, _truth()[:-1]))


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    rows = _truth()
    rows[0]["defect"] = "sepia"
    with pytest.raises(RecordError, match="line 1"):
        _run(tmp_path, _jsonl(tmp_path, rows))
    write_manifest(tmp_path / "manifest.parquet", [candidate("p000-e00", 0, "identity, taste")])
    with pytest.raises(RecordError, match="Found taste; known are identity"):
        filter_statistics(tmp_path / "manifest.parquet", None, tmp_path / "filters.json", 0.0)


def test_faces_and_pairs_count_for_their_filter_and_people_for_none(tmp_path):
    reasons = ["several faces", "no face, subject", "scene pair", "review", "awaiting review", "surplus", ""]
    rows = [candidate("p000-e00", attempt, reason) for attempt, reason in enumerate(reasons)]
    write_manifest(tmp_path / "manifest.parquet", rows)
    filter_statistics(tmp_path / "manifest.parquet", None, tmp_path / "filters.json", 0.0)
    found = json.loads((tmp_path / "filters.json").read_text(encoding="utf-8"))
    counts = {name: found["filters"][name]["rejected"] for name in ("identity", "scene", "subject")}
    assert counts == {"identity": 2, "scene": 1, "subject": 1}
    assert found["chain"]["rejected"] == 3
    assert [
        found[key] for key in ("several_faces", "no_face", "scene_pair", "review", "awaiting_review")
    ] == [1] * 5
