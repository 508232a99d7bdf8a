"""The review pages as their rules make them, and the way from a page's CSV back into the workflow."""

from __future__ import annotations

import csv

import pytest

from mmunlearn.records import Event, Person, RecordError, read_jsonl, read_manifest
from mmunlearn.review.audit import draw_audit
from mmunlearn.verdicts import COLUMNS
from tests.rules.standin import World


def page(world: World, rule: str, **wildcards: str) -> str:
    world.run(rule, **wildcards)
    return (world.root / world.job(rule, **wildcards)["output"][0]).read_text(encoding="utf-8")


def test_review_texts_asks_for_every_draft(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    shown = page(world, "review_texts")
    drafts = world.results / "curation" / "drafts"
    for person in read_jsonl(drafts / "people.jsonl", Person):
        assert person.name in shown and person.appearance in shown
    for event in read_jsonl(drafts / "events.jsonl", Event):
        assert event.description in shown


def test_review_page_shows_the_accepted_pictures_of_its_shard(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    shown = page(world, "review_page", shard="001")
    rows = read_manifest(world.results / "images" / "manifest.parquet")
    for row in rows:
        own = row.accepted and row.person_id in ("p002", "p003")
        assert (row.sha256 in shown) == own


def test_review_sample_asks_for_a_share_of_all_candidates_and_tells_no_verdict(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    world.run("review_sample", params={"share": 0.5})
    shown = (world.results / "review" / "sample.html").read_text(encoding="utf-8")
    rows = read_manifest(world.results / "images" / "manifest.parquet")
    drawn_rows = draw_audit(rows, 0.5, world.config["seed"])
    assert len(drawn_rows) == round(len(rows) / 2) and not all(row.accepted for row in drawn_rows)
    assert all((row.sha256 in shown) == (row in drawn_rows) for row in rows)
    assert not any(f">{reason}<" in shown for reason in {row.reject_reason for row in rows} if reason)


def test_compare_filters_tells_reviewers_and_the_planted_truth_apart(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    (row,) = draw_audit(
        read_manifest(world.results / "images" / "manifest.parquet"), 0.001, world.config["seed"]
    )
    item = f"{row.image_id}-a{row.attempt:02d}"
    said = ["sample", item, row.sha256, "reject", "Kim", "2026-01-01T10:00:00Z", ""]
    (world.root / "kim.csv").write_text(f"{','.join(COLUMNS)}\n{','.join(said)}\n", encoding="utf-8")
    world.run("compare_filters", input={"verdicts": ["kim.csv"]})
    with (world.results / "tables" / "filter_agreement.csv").open(encoding="utf-8") as handle:
        judges = {line["judge"] for line in csv.DictReader(handle)}
    assert {"planted truth", "reviewer Kim", "all reviewers"} <= judges
    assert "Kim" in (world.results / "review" / "agreement.html").read_text(encoding="utf-8")


def test_a_damaged_verdict_file_stops_the_rules_that_read_it(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    folder = world.root / "said"
    folder.mkdir()
    (folder / "kim.csv").write_text(f"{','.join(COLUMNS)}\npicture,p000-e00,zzz,reject,Kim,now,\n")
    with pytest.raises(RecordError, match=r"kim\.csv, line 2"):
        world.run("settle_pictures", config={"review": {"verdicts": "said"}})
