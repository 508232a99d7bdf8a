"""Filter statistics: counts, recall and precision against planted defects, and the least accepted share."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.records import RecordError, write_manifest
from mmunlearn.reporting.filter_statistics import MEANT_FOR, AcceptanceError, check_images, readable
from tests.unit.report_fixtures import candidate
from tests.unit.test_config_schema import ROOT, load

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


TRUTH = [{"image_id": image, "attempt": attempt, "defect": defect} for image, attempt, _, defect in ROWS]


def statistics(
    folder: Path,
    rows: list[tuple[str, int, str]],
    truth: list[dict[str, Any]] | None,
    least: float = 0.5,
    listed: Any = (),
) -> dict[str, Any]:
    """Of candidates (image, attempt, reject reason)."""
    files: Any = []
    if truth is not None:
        files = folder / "truth.jsonl"
        files.write_text("".join(json.dumps(row) + "\n" for row in truth))
    write_manifest(folder / "manifest.parquet", [candidate(*row) for row in rows])
    check_images(folder / "manifest.parquet", files, folder / "filters.json", least, listed=listed)
    return json.loads((folder / "filters.json").read_text())


CANDIDATES = [row[:3] for row in ROWS]


def test_recall_is_over_the_defects_a_filter_is_meant_for(tmp_path: Path) -> None:
    counts = statistics(tmp_path, CANDIDATES, TRUTH)
    assert (counts["cells"], counts["accepted"], counts["candidates"]) == (4, 4, 9)
    assert (counts["surplus"], counts["no_face"]) == (1, 1)
    identity = counts["filters"]["identity"]
    assert identity == {
        "rejected": 3, "truth": "planted: identity", "recall": 0.5, "precision": 2 / 3,
        "clean_rejected_share": 0.25, "true_positive": 1, "other_defect": 1, "false_positive": 1,
        "false_negative": 1,
    }  # fmt: skip
    assert counts["filters"]["distortion"]["recall"] == 0.5
    assert counts["filters"]["subject"]["recall"] == 0.0
    assert counts["filters"]["subject"]["precision"] == 1.0
    assert counts["filters"]["scene"] | {"truth": ""} == {
        "rejected": 0, "truth": "", "recall": None, "precision": None, "clean_rejected_share": 0.0,
        "true_positive": 0, "other_defect": 0, "false_positive": 0, "false_negative": 0,
    }  # fmt: skip


def test_filters_that_refuse_nothing_are_counted_by_their_limits(tmp_path: Path) -> None:
    """The second picture's distortion is under its limit, the third has no face."""
    rows = [
        candidate("p000-e00"),
        candidate("p000-e01", distortion=60.0),
        candidate("p000-e02", identity_l2=None).model_copy(update={"faces": 0}),
    ]
    write_manifest(tmp_path / "manifest.parquet", rows)
    limits = {"identity_l2": 0.8, "scene_cosine": 0.3, "scene_pair": 0.3, "subject_cosine": 0.85}
    limits |= {"distortion": 70.0, "aesthetic": 6.0}
    found = []
    for thresholds in (limits, None):
        check_images(tmp_path / "manifest.parquet", [], tmp_path / "filters.json", 1.0, thresholds)
        counts = json.loads((tmp_path / "filters.json").read_text())
        assert (counts["enforced"], counts["accepted"]) == (thresholds is None, 3)
        found.append(
            [counts["filters"][name]["rejected"] for name in ("identity", "distortion", "aesthetic")]
        )
        found[-1].append(counts["chain"]["rejected"])
    assert found == [[1, 1, 0, 2], [0, 0, 0, 0]]


def test_the_chain_counts_every_defect(tmp_path: Path) -> None:
    counts = statistics(tmp_path, CANDIDATES, TRUTH)
    chain = counts["chain"]
    assert {name: count for name, count in chain.items() if name not in ("truth", "other_defect")} == {
        "rejected": 4, "true_positive": 3, "false_positive": 1, "false_negative": 2,
        "recall": 0.6, "precision": 0.75, "clean_rejected_share": 0.25,
    }  # fmt: skip
    assert counts["by_defect"] == {
        "identity": {"planted": 2, "rejected": 1},
        "blur": {"planted": 1, "rejected": 0},
        "noise": {"planted": 1, "rejected": 1},
        "cutoff": {"planted": 1, "rejected": 1},
    }
    assert counts["clean"] == {"candidates": 4, "rejected": 1}


def test_without_a_truth_there_is_no_recall(tmp_path: Path) -> None:
    counts = statistics(tmp_path, CANDIDATES, None)
    assert set(counts["filters"]) == set(MEANT_FOR)
    for verdict in (*counts["filters"].values(), counts["chain"]):
        assert (verdict["truth"], verdict["recall"], verdict["precision"]) == ("none", None, None)
    assert (counts["chain"]["rejected"], counts["by_defect"], counts["clean"]["candidates"]) == (4, {}, None)


def test_the_log_holds_a_readable_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        statistics(tmp_path, CANDIDATES, TRUTH)
    assert "4 of 4 cells accepted from 9 candidates" in caplog.text
    assert "chain              4   0.600      0.750" in caplog.text
    counts = statistics(tmp_path, CANDIDATES, None)
    assert readable(counts).split("\n")[1:3] == [
        "filter           refused",
        "identity               3",
    ]
    table = readable(counts | {"enforced": False}).split("\n")
    assert (table[1], table[-1]) == ("filter      would refuse", "any filter             4")


def test_what_the_list_of_pictures_left_out_is_said_again(tmp_path, caplog):
    for left in (0, 3):
        assert "Files left out" not in caplog.text
        (tmp_path / "pictures.json").write_text(json.dumps({"files left out": left}))
        statistics(tmp_path, CANDIDATES, None, listed=tmp_path / "pictures.json")
    assert f"Files left out, of which nothing was scored: 3; see {tmp_path}/pictures.json" in caplog.text


def test_too_few_accepted_cells_is_an_error_that_names_them(tmp_path: Path) -> None:
    rows = [(f"p{n:03d}-e00", 0, "scene" if n < 12 else "") for n in range(16)]
    with pytest.raises(
        AcceptanceError, match=r"at least 30\.0%.*in 4 of 16 \(25\.0%\).*p009-e00 and 2 more.*Draw"
    ):
        statistics(tmp_path, rows, None, 0.3)
    failed = json.loads((tmp_path / "filters_failed.json").read_text())
    assert failed.pop("without_picture") == [row[0] for row in rows[:12]]
    assert failed.pop("awaiting_review_cells") == []
    assert (
        failed
        == json.loads((tmp_path / "filters.json").read_text())
        == statistics(tmp_path, rows, None, 0.25)
    )
    assert not (tmp_path / "filters_failed.json").exists()


def test_no_candidates_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AcceptanceError, match="0 of 0"):
        statistics(tmp_path, [], None, 0.99)


def test_no_picture_at_all_is_an_error_whatever_share_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(AcceptanceError, match="in 0 of 2"):
        statistics(tmp_path, [(f"p{n:03d}-e00", 0, "scene") for n in range(2)], None, 0.0)


def test_truth_must_cover_every_candidate(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"9 candidates. Found 1 without.*p001-e01, attempt 0"):
        statistics(tmp_path, CANDIDATES, TRUTH[:-1])


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="line 1"):
        statistics(tmp_path, CANDIDATES, [TRUTH[0] | {"defect": "sepia"}, *TRUTH[1:]])
    with pytest.raises(RecordError, match="Found taste; known are identity"):
        statistics(tmp_path, [("p000-e00", 0, "identity, taste")], None)


def test_faces_and_pairs_count_for_their_filter_and_people_for_none(tmp_path: Path) -> None:
    reasons = ["several faces", "no face, subject", "scene pair", "review", "awaiting review", "surplus", ""]
    counts = statistics(tmp_path, [("p000-e00", at, reason) for at, reason in enumerate(reasons)], None)
    rejected = [counts["filters"][name]["rejected"] for name in ("identity", "scene", "subject")]
    assert (rejected, counts["chain"]["rejected"]) == ([2, 1, 1], 3)
    reasons = ("several_faces", "no_face", "scene_pair", "review", "awaiting_review", "surplus")
    assert [counts[name] for name in reasons] == [1] * 6


def test_pairs_of_scenes_are_the_one_threshold_that_a_report_does_not_count(tmp_path: Path) -> None:
    """The configuration and its schema say so."""
    write_manifest(tmp_path / "manifest.parquet", [candidate("p000-e00", 0, "")])
    limits = {"identity_l2": 9, "scene_cosine": -1, "subject_cosine": -1, "distortion": -1, "aesthetic": -1}
    check_images(tmp_path / "manifest.parquet", [], tmp_path / "f.json", 0.0, limits | {"scene_pair": 1.1})
    counts = json.loads((tmp_path / "f.json").read_text())
    assert (counts["chain"]["rejected"], counts["scene_pair"]) == (0, 0)
    schema = load(ROOT / "resources" / "config.schema.yaml")["properties"]["images"]["properties"]
    assert "all but scene_pair" in schema["filter"]["description"]
    comment = re.search(r"\n  filter: enforce.*\n.*", (ROOT / "config.yaml").read_text())
    assert comment and "but for scene_pair" in comment[0]
