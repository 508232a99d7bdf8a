"""Filters against people and planted truth: counts made by hand, intervals from the literature, blanks with reasons."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mmunlearn.records import RecordError, read_manifest, write_manifest
from mmunlearn.review.agreement import COLUMNS, compare_filters, wilson
from mmunlearn.review.audit import audit_item
from tests.unit.review_fixtures import Page, candidate
from tests.unit.rows import save_verdicts

REASONS = ("identity", "no face, aesthetic", "scene, subject", "scene pair", "review", "awaiting review", "surplus",
           "", "", "")  # fmt: skip
COUNTS = ("pictures", "rejected_by_judge", "flagged_of_rejected", "true_positive", "false_positive", "false_negative",
          "true_negative")  # fmt: skip
RATES = ("recall_percent", "recall_low", "recall_high", "precision_percent")
ADA = {0: "reject", 1: "reject", 2: "reject", 3: "accept", 4: "reject", 5: "accept", 6: "accept", 7: "accept"}
BO = {0: "accept", 7: "reject", 9: "accept"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Ten candidates; the first four are flagged."""
    rows = [candidate(tmp_path, f"p000-e{n:02d}", reason=reason) for n, reason in enumerate(REASONS)]
    write_manifest(tmp_path / "manifest.parquet", rows)
    return tmp_path / "manifest.parquet"


def judged(manifest: Path, reviewer: str, words: dict[int, str], **changed: str) -> Path:
    rows = read_manifest(manifest)
    verdicts = [
        {"kind": "sample", "item": audit_item(rows[n]), "digest": rows[n].sha256, "verdict": word,
         "reviewer": reviewer, "time": "2026-11-21T10:00:00Z", "note": f"note {n}"} | changed
        for n, word in words.items()
    ]  # fmt: skip
    return save_verdicts(manifest.parent / f"{len(list(manifest.parent.glob('*.csv')))}.csv", *verdicts)


def planted(manifest: Path, bad: dict[int, str]) -> Path:
    path = manifest.parent / "truth.jsonl"
    rows = [
        {"image_id": row.image_id, "attempt": row.attempt, "defect": bad.get(n, "")}
        for n, row in enumerate(read_manifest(manifest))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def compared(
    manifest: Path, *verdicts: Path, truth: Path | None = None, **options
) -> dict[tuple, dict[str, str]]:
    folder = manifest.parent / "out"
    made = {"csv": folder / "table.csv", "md": folder / "table.md", "page": folder / "page.html"}
    settings = {"share": 1.0, "seed": 1} | options
    compare_filters(manifest=manifest, verdicts=list(verdicts), truth=truth or [], **made, **settings)
    with (folder / "table.csv").open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        rows = {(row["judge"], row["compared_on"], row["filter"]): row for row in reader}
    assert tuple(reader.fieldnames) == COLUMNS
    return rows


def counts(row: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in COUNTS)


def rates(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in RATES)


def test_each_reviewer_and_all_of_them_are_compared_with_the_filters(manifest):
    rows = compared(manifest, judged(manifest, "Ada", ADA), judged(manifest, "Bo", BO))
    names = ("reviewer Ada", "reviewer Bo", "all reviewers")
    ada, bo, together = (rows[name, "sample", "any filter"] for name in names)
    assert counts(ada) == (8, 4, 3, 3, 1, 1, 3)
    assert rates(ada) == ("75.00", "30.06", "95.44", "75.00")
    assert counts(bo) == (3, 1, 0, 0, 1, 1, 1)
    assert rates(bo) == ("0.00", "0.00", "79.35", "0.00")
    assert counts(together) == (9, 5, 3, 3, 1, 2, 3), "bad is what anyone rejects"
    assert rates(together)[0] == "60.00"


def test_pictures_count_for_all_reviewers_when_enough_have_judged_them(manifest):
    rows = compared(manifest, judged(manifest, "Ada", ADA), judged(manifest, "Bo", BO), reviewers=2)
    assert counts(rows["all reviewers", "sample", "any filter"]) == (2, 2, 1, 1, 0, 1, 0)
    rows = compared(manifest, judged(manifest, "Ada", ADA), reviewers=3)
    none = rows["all reviewers", "sample", "any filter"]
    assert none["reason"] == "no picture of the sample has been judged by 3 people yet"
    assert not any(none[name] for name in (*COUNTS, *RATES))


def test_each_filter_is_compared_on_its_own(manifest):
    rows = compared(manifest, judged(manifest, "Ada", ADA))
    by_filter = {name: row for (judge, _, name), row in rows.items() if judge == "reviewer Ada"}
    names = ["any filter", "identity", "scene", "subject", "distortion", "aesthetic", "scene pair"]
    assert list(by_filter) == names
    assert counts(by_filter["identity"])[3:] == (2, 0, 2, 4), "no face is the identity filter's refusal"
    assert counts(by_filter["aesthetic"])[3:] == (1, 0, 3, 4)
    assert counts(by_filter["scene pair"])[3:] == (0, 1, 4, 3)
    assert by_filter["distortion"]["precision_percent"] == ""
    assert by_filter["distortion"]["reason"] == "precision: nothing was flagged"


def test_the_planted_truth_is_compared_on_the_sample_and_on_all(manifest):
    truth = planted(manifest, {0: "identity", 1: "cutoff", 3: "scene", 8: "blur"})
    rows = compared(manifest, truth=truth, share=0.5)
    assert counts(rows["planted truth", "all candidates", "any filter"]) == (10, 4, 3, 3, 1, 1, 5)
    assert rows["planted truth", "sample", "any filter"]["pictures"] == "5"
    assert counts(rows["planted truth", "all candidates", "identity"])[3:] == (2, 0, 2, 6)
    assert ("reviewer Ada", "sample", "any filter") not in rows


def test_without_verdicts_and_truth_every_number_is_empty_with_a_reason(manifest):
    rows = compared(manifest)
    assert {key[0] for key in rows} == {"all reviewers"}
    for row in rows.values():
        assert row["reason"] == "no picture of the sample has been judged by anyone yet"
        assert not any(row[name] for name in (*COUNTS, *RATES))
    text = (manifest.parent / "out" / "table.md").read_text()
    assert "no picture of the sample has been judged by anyone yet" in text and " 0 " not in text


def test_nothing_rejected_gives_no_recall(manifest):
    rows = compared(manifest, judged(manifest, "Ada", dict.fromkeys((0, 8), "accept")))
    row = rows["reviewer Ada", "sample", "any filter"]
    assert (row["recall_percent"], row["recall_low"], row["flagged_of_rejected"]) == ("", "", "")
    assert row["reason"] == "recall: nothing was rejected"
    assert (row["precision_percent"], row["false_positive"], row["true_negative"]) == ("0.00", "1", "1")


def test_verdicts_on_other_pictures_or_of_another_kind_do_not_count(manifest):
    page = manifest.parent / "out" / "page.html"
    rows = compared(
        manifest,
        judged(manifest, "Ada", {0: "reject"}),
        judged(manifest, "Ada", {1: "reject", 2: "accept"}, digest="0" * 64),
        judged(manifest, "Ada", {3: "reject"}, item="p777-e00-a00"),
        judged(manifest, "Ada", {4: "reject"}, kind="picture", item="p000-e04"),
    )
    assert counts(rows["reviewer Ada", "sample", "any filter"]) == (1, 1, 1, 1, 0, 0, 0)
    assert "3 verdicts on pictures that are no longer in the" in Page(page).text


def test_the_page_shows_the_disagreements_and_the_published_number(manifest):
    compared(manifest, judged(manifest, "Ada", ADA), truth=planted(manifest, {8: "blur"}))
    page = Page(manifest.parent / "out" / "page.html")
    assert "98" in page.text and "people, as published" in page.text
    assert "All reviewers: rejected, but not flagged (1)" in page.text and "judge: note 4" in page.text
    assert "All reviewers: flagged, but not rejected (1)" in page.text and "flagged: scene pair" in page.text
    assert "Planted truth: rejected, but not flagged (1)" in page.text and "judge: blur" in page.text
    assert all(image["src"].startswith("data:image/jpeg") for image in page.all("img"))
    assert page.scripts == [] and "script-src" not in str(page.all("meta"))


def test_a_picture_that_is_another_than_listed_is_refused(manifest):
    path = Path(read_manifest(manifest)[3].path)
    path.write_bytes(Path(read_manifest(manifest)[0].path).read_bytes())
    with pytest.raises(RecordError, match=rf"Found another in {path}\. .*--forcerun draw_shard"):
        compared(manifest, truth=planted(manifest, {}))


def test_at_most_24_disagreements_are_shown_and_lost_pictures_leave_a_gap(tmp_path):
    rows = [candidate(tmp_path, f"p000-e{n:02d}", reason="scene") for n in range(40)]
    write_manifest(tmp_path / "manifest.parquet", rows)
    Path(rows[0].path).unlink()
    compared(tmp_path / "manifest.parquet", truth=planted(tmp_path / "manifest.parquet", {}))
    page = Page(tmp_path / "out" / "page.html")
    assert "flagged, but not rejected (40)" in page.text
    assert (len(page.all("img")), page.text.count("not kept")) == (23, 1)


def test_a_reviewers_name_breaks_neither_table_nor_page(manifest):
    name = "A|da <script>x</script>"
    rows = compared(manifest, judged(manifest, name, ADA, note="<script>y</script>"))
    assert (f"reviewer {name}", "sample", "any filter") in rows
    text = (manifest.parent / "out" / "table.md").read_text()
    assert r"reviewer A\|da &lt;script>x&lt;/script>" in text
    assert {line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")} == {14}
    page = Page(manifest.parent / "out" / "page.html")
    assert name in page.text and "<script>y</script>" in page.text and page.all("script") == []


def test_reasons_that_nobody_knows_and_truths_that_are_missing_are_refused(manifest):
    truth = planted(manifest, {})
    truth.write_text("".join(truth.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RecordError, match=r"Found 1 without one in .*first p000-e09-a00"):
        compared(manifest, truth=truth)
    write_manifest(manifest, [candidate(manifest.parent, "p000-e00", reason="scene, mood")])
    with pytest.raises(RecordError, match=r"refused p000-e00, attempt 0 .*Found mood"):
        compared(manifest)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_that_of_newcombe_1998(part, whole, low, high):
    """Table I of Newcombe, Statistics in Medicine 17 (1998) 857-872, method 3."""
    assert wilson(part, whole) == pytest.approx((low, high), abs=5e-5)
    assert wilson(whole - part, whole) == pytest.approx((1 - high, 1 - low), abs=5e-5)
