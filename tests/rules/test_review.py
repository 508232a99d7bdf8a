"""The review pages as their rules make them, and the way from a page's CSV back into the workflow."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmunlearn.ids import candidate_id
from mmunlearn.records import Event, Person, RecordError, read_jsonl, read_manifest
from mmunlearn.review.audit import draw_audit
from mmunlearn.verdicts import COLUMNS
from tests.rules.standin import World
from tests.unit.rows import save_verdicts


def page(world: World, rule: str, **wildcards: str) -> str:
    world.run(rule, **wildcards)
    return (world.root / world.job(rule, **wildcards)["output"][0]).read_text(encoding="utf-8")


def test_review_texts_asks_for_every_draft(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    text = page(world, "review_texts")
    drafts = world.results / "curation" / "drafts"
    for person in read_jsonl(drafts / "people.jsonl", Person):
        assert person.name in text and person.appearance in text
    for event in read_jsonl(drafts / "events.jsonl", Event):
        assert event.description in text


def test_review_page_shows_the_accepted_pictures_of_its_shard(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    text = page(world, "review_page", shard="001")
    for row in read_manifest(world.results / "images" / "manifest.parquet"):
        assert (row.sha256 in text) == (row.accepted and row.person_id in ("p002", "p003"))


def test_review_sample_asks_for_a_share_of_all_candidates_and_tells_no_verdict(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    world.run("review_sample", params={"share": 0.5})
    text = (world.results / "review" / "sample.html").read_text(encoding="utf-8")
    rows = read_manifest(world.results / "images" / "manifest.parquet")
    drawn_rows = draw_audit(rows, 0.5, world.config["seed"])
    assert len(drawn_rows) == round(len(rows) / 2) and not all(row.accepted for row in drawn_rows)
    assert all((row.sha256 in text) == (row in drawn_rows) for row in rows)
    assert not any(f">{reason}<" in text for reason in {row.reject_reason for row in rows} if reason)


def test_compare_filters_tells_reviewers_and_the_planted_truth_apart(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    rows = read_manifest(world.results / "images" / "manifest.parquet")
    (row,) = draw_audit(rows, 0.001, world.config["seed"])
    item = candidate_id(row.image_id, row.attempt)
    one = {"kind": "sample", "item": item, "digest": row.sha256, "verdict": "reject", "reviewer": "Kim"}
    save_verdicts(world.root / "kim.csv", one | {"time": "2026-01-01T10:00:00Z", "note": ""})
    world.run("compare_filters", params={"verdicts": [Path("kim.csv")]})
    with (world.results / "tables" / "filter_agreement.csv").open(encoding="utf-8") as handle:
        judges = {line["judge"] for line in csv.DictReader(handle)}
    assert {"planted truth", "reviewer Kim", "all reviewers"} <= judges
    assert "Kim" in (world.results / "review" / "agreement.html").read_text(encoding="utf-8")


def test_a_damaged_verdict_file_stops_the_rules_that_read_it(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    row = ("picture", "p000-e00", "zzz", "reject", "Kim", "now", "")
    save_verdicts(world.root / "verdicts" / "kim.csv", dict(zip(COLUMNS, row, strict=True)))
    with pytest.raises(RecordError, match=r"kim\.csv, line 2"):
        world.run("settle_pictures", config={"review": {"verdicts": "verdicts"}})
