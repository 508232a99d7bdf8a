"""The last word on pictures: pairs of scenes and what people say. Only what is refused is drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmunlearn.records import Candidate, read_manifest, sha256_of
from mmunlearn.reporting.filter_statistics import AcceptanceError
from mmunlearn.verdicts import COLUMNS
from tests.rules.standin import World

RULES = ("settle_pictures", "merge_manifest")


def manifest(world: World) -> list[Candidate]:
    return read_manifest(world.results / "images" / "manifest.parquet")


def accepted(world: World) -> dict[str, Candidate]:
    return {row.image_id: row for row in manifest(world) if row.accepted}


def say(world: World, reviewer: str, verdicts: dict[Candidate, str]) -> None:
    """A reviewer's CSV file in the folder `reviews`, as the page saves it."""
    lines = [",".join(COLUMNS)]
    for row, verdict in verdicts.items():
        lines.append(f"picture,{row.image_id},{row.sha256},{verdict},{reviewer},2026-01-02T03:04:05Z,")
    path = world.root / "reviews" / f"verdicts-{reviewer}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def remake(world: World, *, reviewers: int = 0, **settle: Any) -> None:
    review = {"review": {"verdicts": "reviews"}}
    world.run("settle_pictures", params=settle, config=review)
    world.run("merge_manifest", params={"reviewers": reviewers}, config=review)


def test_without_reviewers_and_odd_scenes_the_shards_have_the_last_word(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    for rule in RULES:
        world.run(rule)
    assert brush.drawn == []
    shards = [read_manifest(world.results / "images" / "shards" / f"{n:03d}.parquet") for n in range(2)]
    reasons = {(row.image_id, row.attempt): row.reject_reason for rows in shards for row in rows}
    assert {(row.image_id, row.attempt): row.reject_reason for row in manifest(world)} == reasons
    pairs = [row.scene_pair for row in accepted(world).values()]
    assert all(
        pair is not None and pair >= drawn.config["images"]["thresholds"]["scene_pair"] for pair in pairs
    )


def test_a_rejected_picture_is_drawn_anew_and_only_that_one(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    before = accepted(world)
    victim = before["p001-e02"]
    say(world, "ada", {victim: "reject", before["p000-e00"]: "accept"})
    remake(world)
    after = accepted(world)
    assert {key for key, _ in brush.drawn} == {"p001-e02"}
    assert after["p001-e02"].attempt > victim.attempt and after["p001-e02"].seed != victim.seed
    assert after["p001-e02"].sha256 != victim.sha256
    assert {key: row.sha256 for key, row in after.items() if key != "p001-e02"} == {
        key: row.sha256 for key, row in before.items() if key != "p001-e02"
    }
    (refused,) = [row for row in manifest(world) if row.reject_reason == "review"]
    assert refused.sha256 == victim.sha256
    assert sha256_of(world.results / "images" / "p001-e02.png") == after["p001-e02"].sha256


def test_rejecting_again_and_again_ends_at_the_bound(drawn, tmp_path, brush):
    """Every rejection allows `candidates` further attempts; the same verdicts give the same bytes."""
    world = drawn.copy(tmp_path / "world")
    verdicts: dict[Candidate, str] = {}
    for _ in range(3):
        row = accepted(world)["p001-e02"]
        assert row not in verdicts
        verdicts[row] = "reject"
        say(world, "ada", verdicts)
        remake(world)
    digest = sha256_of(world.results / "images" / "manifest.parquet")
    brush.drawn = []
    remake(world)
    assert brush.drawn == [] and sha256_of(world.results / "images" / "manifest.parquet") == digest


def test_a_verdict_on_another_picture_of_the_cell_changes_nothing(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    stale = accepted(world)["p001-e02"].model_copy(update={"sha256": "0" * 64})
    say(world, "ada", {stale: "reject"})
    remake(world)
    assert brush.drawn == [] and accepted(world) == accepted(drawn)


def test_a_picture_is_valid_only_when_all_reviewers_confirm_it(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    before = accepted(world)
    say(world, "ada", dict.fromkeys(before.values(), "accept"))
    say(world, "Ada", dict.fromkeys(before.values(), "accept"))
    say(world, "bob", {before["p000-e00"]: "accept"})
    remake(world, reviewers=2)
    assert set(accepted(world)) == {"p000-e00"}, "ada, who reviewed twice, is one person"
    waiting = [row for row in manifest(world) if row.reject_reason == "awaiting review"]
    assert {row.image_id for row in waiting} == set(before) - {"p000-e00"}
    assert all(row.path.startswith("results/") for row in waiting), (
        "they are published, so that they can be seen"
    )
    world.run("write_truth")
    with pytest.raises(AcceptanceError, match="none for p000-e01"):
        world.run("check_images")


def test_an_odd_scene_is_refused_and_drawn_anew_within_bounds(drawn, tmp_path, brush):
    """The threshold is put just above the worst pair, so that one picture of that event must go."""
    world = drawn.copy(tmp_path / "world")
    before = accepted(world)
    worst = min(row.scene_pair for row in before.values())
    events = {row.event_id for row in before.values() if row.scene_pair == worst}
    limits = drawn.config["images"]["thresholds"] | {"scene_pair": worst + 0.0002}
    remake(world, thresholds=limits, candidates=2)
    refused = [row for row in manifest(world) if "scene pair" in row.reject_reason]
    assert refused and {row.event_id for row in refused} <= events
    assert {key for key, _ in brush.drawn} <= {row.image_id for row in refused}
    assert len(brush.drawn) <= 2 * len({row.image_id for row in refused})
    assert min(row.scene_pair for row in accepted(world).values()) >= limits["scene_pair"] - 1e-9
    brush.drawn, digest = [], sha256_of(world.results / "images" / "manifest.parquet")
    remake(world, thresholds=limits, candidates=2)
    assert brush.drawn == [] and sha256_of(world.results / "images" / "manifest.parquet") == digest


def test_a_threshold_that_refuses_most_pictures_is_an_error_before_any_is_drawn(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    limits = drawn.config["images"]["thresholds"] | {"scene_pair": 0.9999}
    half = {"images": {"stop_below": {"cells": 20, "share": 0.5}}}
    with pytest.raises(
        AcceptanceError, match="11 of 15 accepted pictures would go, for which up to 55 would"
    ):
        world.run("settle_pictures", params={"thresholds": limits}, config=half)
    assert brush.drawn == []
    world.run(
        "settle_pictures",
        params={"thresholds": limits, "candidates": 1},
        config={"images": {"stop_below": None}},
    )
    assert brush.drawn


def test_scene_features_lie_beside_their_rows(drawn):
    folder = drawn.results / "images" / "shards"
    rows, scenes = read_manifest(folder / "000.parquet"), np.load(folder / "000.npy", allow_pickle=False)
    assert scenes.shape == (len(rows), 64) and scenes.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(scenes, axis=1), 1, atol=1e-5)
