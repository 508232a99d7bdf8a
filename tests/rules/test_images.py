"""Images: drawn until valid, resumable, judged anew without being drawn anew, and never changed unnoticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmunlearn.records import Candidate, RecordError, read_manifest, sha256_of
from mmunlearn.reporting.filter_statistics import AcceptanceError
from mmunlearn.synthesis.drawing_cost import drawing_cost
from tests.rules.histograms import HistogramScorers
from tests.rules.mini import curate, draw, draw_shards, mini_config
from tests.rules.standin import World

ANYTHING_GOES = {
    "identity_l2": 2.0,
    "scene_cosine": -1.0,
    "scene_pair": -1.0,
    "subject_cosine": -1.0,
    "distortion": 0.0,
    "aesthetic": 0.0,
}
EVENTS = ["e00", "e01", "e02", "e03"]


def shard(world: World, number: int = 0) -> Path:
    return world.results / "images" / "shards" / f"{number:03d}.parquet"


def all_shards(world: World) -> list[Candidate]:
    return read_manifest(shard(world)) + read_manifest(shard(world, 1))


def stored(world: World) -> list[tuple[str, int]]:
    """Image id and attempt of every picture in the store but the references."""
    paths = world.root.glob("work/draws/*/p*/a*.png")
    return sorted((path.parent.name.rsplit("-", 2)[0], int(path.stem[1:])) for path in paths)


def keys(rows: Sequence[Candidate]) -> list[tuple[str, int]]:
    return sorted((row.image_id, row.attempt) for row in rows)


def test_references_are_the_scenes_of_their_pictures(drawn):
    with np.load(drawn.results / "images" / "references.npz") as references:
        assert sorted(references.files) == EVENTS
        for event in EVENTS:
            paths = sorted(drawn.root.glob(f"work/draws/*/ref*-{event}-a00-*/a00.png"))
            scenes = np.stack([HistogramScorers({}).measure(Image.open(path)).scene for path in paths])
            assert scenes.shape == (2, 64)
            np.testing.assert_array_equal(references[event], scenes)


def test_an_event_without_a_scene_is_an_error_at_its_own_pictures(drawn, tmp_path, brush, monkeypatch):
    def blind(self, image):
        return replace(measure(self, image), scene=np.full(64, np.nan, np.float32))

    measure = HistogramScorers.measure
    monkeypatch.setattr(HistogramScorers, "measure", blind)
    world = drawn.copy(tmp_path / "world")
    for folder in ("draws", "features"):
        shutil.rmtree(world.root / "work" / folder)
    with pytest.raises(ValueError, match="scene of event e00 in 2 pictures"):
        world.run("draw_references", output=["again.npz"])
    assert brush.drawn == [("ref0-e00", 0), ("ref1-e00", 0)]


def test_a_person_without_a_face_is_said_before_all_attempts_are_drawn(drawn, tmp_path, monkeypatch):
    def faceless(self, image):
        return replace(measure(self, image), faces=0, face=np.full(64, np.nan, np.float32))

    measure = HistogramScorers.measure
    monkeypatch.setattr(HistogramScorers, "measure", faceless)
    world = drawn.copy(tmp_path / "world")
    shutil.rmtree(world.root / "work" / "features")
    with pytest.raises(AcceptanceError, match="stop_below"):
        world.run("draw_shard", shard="000")
    assert "p000: none of 4 first pictures shows exactly one face" in world.log("draw_shard", shard="000")


def test_references_drawn_again_are_the_same_bytes_without_a_stroke(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    world.run("draw_references", output=["again.npz"])
    assert brush.drawn == []
    assert sha256_of(world.root / "again.npz") == sha256_of(world.results / "images" / "references.npz")


def test_a_shard_draws_every_cell_until_one_is_valid(drawn):
    limits, most = drawn.config["images"]["thresholds"], drawn.config["images"]["max_attempts"]
    by_cell = {}
    for row in all_shards(drawn):
        by_cell.setdefault(row.image_id, []).append(row)
    assert list(by_cell) == [f"p{person:03d}-{event}" for person in range(4) for event in EVENTS]
    for rows in by_cell.values():
        *refused, last = rows
        assert [row.attempt for row in rows] == list(range(len(rows)))
        assert all(row.reject_reason and not row.accepted for row in refused)
        assert (last.accepted and last.reject_reason == "") or len(rows) == most
        for row in rows:
            assert ("scene" in row.reject_reason) == (row.scene_cosine < limits["scene_cosine"])
            assert ("distortion" in row.reject_reason) == (row.distortion < limits["distortion"])
            assert ("no face" in row.reject_reason) == (row.identity_l2 is None)
            assert sha256_of(drawn.root / row.path) == row.sha256


@pytest.mark.parametrize("breaks_after", [2, 6, 9])
def test_a_killed_shard_draws_only_what_is_missing_and_ends_in_the_same_bytes(
    drawn, tmp_path, brush, breaks_after
):
    world = drawn.copy(tmp_path / "world")
    shard(world).unlink()
    for unit in world.root.glob("work/draws/*/p*"):
        shutil.rmtree(unit)
    brush.breaks_after = breaks_after
    with pytest.raises(RuntimeError, match="the brush broke"):
        world.run("draw_shard", shard="000")
    assert not shard(world).exists()
    saved = stored(world)
    assert set(saved) <= set(brush.drawn) and (saved or breaks_after < 4)
    brush.drawn, brush.breaks_after = [], 1000
    world.run("draw_shard", shard="000")
    assert sorted(brush.drawn + saved) == keys(read_manifest(shard(drawn)))
    assert sha256_of(shard(world)) == sha256_of(shard(drawn))


def test_another_people_per_shard_gives_the_same_bytes(drawn, tmp_path):
    world = draw(curate(World.make(tmp_path / "world", mini_config(people_per_shard=3))))
    assert {row.person_id for row in read_manifest(shard(world, 1))} == {"p003"}
    names = sorted(path.name for path in (drawn.results / "images").glob("*.png"))
    for name in ("manifest.parquet", *names):
        assert sha256_of(world.results / "images" / name) == sha256_of(drawn.results / "images" / name)


def test_looser_thresholds_judge_anew_without_a_stroke(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    measured = {path: path.stat().st_mtime_ns for path in world.root.glob("work/features/*/*.npz")}
    draw_shards(world, params={"thresholds": ANYTHING_GOES})
    assert brush.drawn == []
    assert {path: path.stat().st_mtime_ns for path in world.root.glob("work/features/*/*.npz")} == measured
    before, after = all_shards(drawn), all_shards(world)
    assert len(after) < len(before)
    assert {row.reject_reason for row in after} == {"", "no face"}
    assert all(row.accepted == (row.identity_l2 is not None) for row in after)


def test_stricter_thresholds_draw_new_attempts_only(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    before = {(row.image_id, row.attempt): row for row in all_shards(drawn)}
    draw_shards(world, params={"thresholds": drawn.config["images"]["thresholds"] | {"aesthetic": 7.2}})
    after = {(row.image_id, row.attempt): row for row in all_shards(world)}
    assert brush.drawn and sorted(brush.drawn) == sorted(after.keys() - before.keys())
    verdict = {"accepted", "reject_reason"}
    for key in before.keys() & after.keys():
        assert before[key].model_dump(exclude=verdict) == after[key].model_dump(exclude=verdict)


def test_a_truncated_picture_is_drawn_again_with_a_warning(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    row = read_manifest(shard(world))[3]
    picture = world.root / row.path
    picture.write_bytes(picture.read_bytes()[:900])
    world.run("draw_shard", shard="000")
    assert brush.drawn == [(row.image_id, row.attempt)]
    assert f"{row.path} is damaged" in world.log("draw_shard", shard="000")
    assert sha256_of(picture) == row.sha256
    assert sha256_of(shard(world)) == sha256_of(shard(drawn))


def test_damaged_features_are_measured_again_with_a_warning(drawn, tmp_path, brush):
    world = drawn.copy(tmp_path / "world")
    cached = min(world.root.glob("work/features/*/p000-e00-*.npz"))
    cached.write_bytes(cached.read_bytes()[:200])
    world.run("draw_shard", shard="000")
    assert brush.drawn == []
    assert f"{cached.name} is damaged" in world.log("draw_shard", shard="000")
    assert sha256_of(shard(world)) == sha256_of(shard(drawn))


def test_the_manifest_holds_every_candidate_and_publishes_one_picture_a_cell(drawn):
    rows = read_manifest(drawn.results / "images" / "manifest.parquet")
    assert keys(rows) == keys(all_shards(drawn))
    published = {row.image_id: row for row in rows if row.path.startswith("results/")}
    accepted = {row.image_id for row in rows if row.accepted}
    assert len(published) == 16 and len(accepted) == 15, "one cell of this world never got a valid picture"
    for image_id, row in published.items():
        assert row.path == f"results/mini/images/{image_id}.png"
        assert row.accepted == (image_id in accepted)
        assert sha256_of(drawn.root / row.path) == row.sha256
        assert Image.open(drawn.root / row.path).size == (128, 128)


@pytest.mark.parametrize("change", ["painted over", "gone"])
def test_a_picture_that_is_not_the_one_that_was_judged_is_refused(drawn, tmp_path, change):
    """Nothing is published, and the shard is taken back, so that the next run draws and judges it again."""
    world = drawn.copy(tmp_path / "world")
    manifest = world.results / "images" / "manifest.parquet"
    row = next(row for row in read_manifest(shard(world)) if row.accepted)
    manifest.unlink()
    (manifest.parent / f"{row.image_id}.png").unlink()
    if change == "gone":
        (world.root / row.path).unlink()
    else:
        Image.new("RGB", (128, 128)).save(world.root / row.path)
    with pytest.raises(RecordError, match=f"{row.path} is gone or has changed since it was judged"):
        world.run("merge_manifest")
    assert not manifest.exists() and not (manifest.parent / f"{row.image_id}.png").exists()
    assert not shard(world).exists() and shard(world, 1).exists()
    world.run("draw_shard", shard="000")
    for rule in ("settle_pictures", "merge_manifest"):
        world.run(rule)
    published = {one.image_id: one for one in read_manifest(manifest) if one.path.startswith("results/")}
    assert published[row.image_id].accepted and np.any(Image.open(world.root / published[row.image_id].path))
    if change == "gone":
        assert sha256_of(manifest) == sha256_of(drawn.results / "images" / "manifest.parquet")


def test_merging_again_mends_published_pictures_and_removes_stale_ones(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    images = world.results / "images"
    (images / "p000-e00.png").write_bytes(b"scribbled over")
    (images / "p999-e00.png").write_bytes(b"of an earlier run")
    world.run("merge_manifest")
    assert not (images / "p999-e00.png").exists()
    for name in ("manifest.parquet", "p000-e00.png"):
        assert sha256_of(images / name) == sha256_of(drawn.results / "images" / name)


def test_the_check_counts_what_the_filters_refused_against_the_truth(drawn):
    rows = read_manifest(drawn.results / "images" / "manifest.parquet")
    lines = (drawn.results / "images" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    defects = {(line["image_id"], line["attempt"]): line["defect"] for line in map(json.loads, lines)}
    statistics = json.loads((drawn.results / "images" / "filters.json").read_text(encoding="utf-8"))
    assert (statistics["cells"], statistics["accepted"], statistics["candidates"]) == (16, 15, len(rows))
    for name, meant in (("scene", {"scene"}), ("distortion", {"blur", "noise"})):
        planted = {key for key, defect in defects.items() if defect in meant}
        refused = {(row.image_id, row.attempt) for row in rows if name in row.reject_reason}
        counts = statistics["filters"][name]
        assert counts["recall"] == len(planted & refused) / len(planted) == 1.0
        assert counts["precision"] == sum(bool(defects[key]) for key in refused) / len(refused)
    assert "15 of 16 cells accepted" in drawn.log("check_images")


def test_too_few_valid_pictures_end_the_run_and_leave_the_statistics(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    with pytest.raises(AcceptanceError, match=r"15 of 16 \(93.8%\); none for p002-e03"):
        world.run("check_images", params={"min_accepted_share": 1.0}, output=["strict.json"])
    assert json.loads((world.root / "strict.json").read_text(encoding="utf-8"))["accepted"] == 15


def test_the_check_does_without_a_truth(drawn, tmp_path):
    """Of a generator that plants no defects nobody knows the truth."""
    world = drawn.copy(tmp_path / "world")
    world.run("check_images", input={"truth": []}, output=["untold.json"])
    statistics = json.loads((world.root / "untold.json").read_text(encoding="utf-8"))
    assert {one["truth"] for one in statistics["filters"].values()} == {"none"}
    assert {one["recall"] for one in statistics["filters"].values()} == {None}


def hopeless(world: World, **stop: float) -> dict[str, object]:
    """What no picture of a shard passes, and when it stops for that."""
    limits = world.config["images"]["thresholds"] | {"aesthetic": 9.9}
    return {"params": {"thresholds": limits}, "config": {"images": {"stop_below": stop or None}}}


def test_a_shard_without_valid_pictures_stops_at_its_first_cells_and_keeps_what_it_drew(
    drawn, tmp_path, brush
):
    """Three of the first four cells without a picture put half of them out of reach."""
    world = drawn.copy(tmp_path / "world")
    for unit in world.root.glob("work/draws/*/p00[01]-*"):
        shutil.rmtree(unit)
    with pytest.raises(AcceptanceError, match="at least 50% of the shard's first 4 cells") as told:
        world.run("draw_shard", shard="000", **hopeless(world, cells=4, share=0.5))
    assert "Found none in 3 of the 3 drawn, after 18 candidates" in str(told.value)
    row = next(line.split() for line in str(told.value).splitlines() if line.startswith("  aesthetic"))
    assert row[1] == "18" and row[4:7] == ["at", "least", "9.9"]
    once = [*brush.drawn]
    first = {("p000-e00", 5), ("p000-e01", 5), ("p000-e02", 5), ("p000-e03", 0)}
    assert first <= set(once) and len(once) == 18 + 1, (
        "the last cell's first picture counts for the reference"
    )
    world.run("draw_shard", shard="000", config={"images": {"stop_below": {"cells": 4, "share": 0.5}}})
    assert len(set(brush.drawn)) == len(brush.drawn), "nothing is drawn twice"
    assert sha256_of(shard(world)) == sha256_of(shard(drawn))


def test_null_goes_on_and_no_setting_of_the_stop_is_a_param(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    world.run("draw_shard", shard="000", **hopeless(world))
    assert len(read_manifest(shard(world))) == 8 * 6 and not any(
        r.accepted for r in read_manifest(shard(world))
    )
    given = [
        world.job(rule, shard="000")["params"]
        for rule in ("draw_shard", "settle_pictures", "draw_references")
    ]
    assert "stop_below" not in repr(given)


def test_a_pilot_is_the_run_s_own_first_shard_and_nothing_is_drawn_twice(curated, drawn, tmp_path, brush):
    world = curated.copy(tmp_path / "world")
    assert world.bring("images/pilot.md") == ["draw_references", "draw_shard", "write_pilot"]
    page = (world.results / "images" / "pilot.md").read_text(encoding="utf-8")
    numbers = json.loads((world.results / "images" / "pilot.json").read_text(encoding="utf-8"))
    rows = read_manifest(shard(world))
    assert (numbers["candidates"], numbers["cells"]) == (len(rows), 8)
    assert numbers["measured"]["draw_seconds"] > 0 and numbers["cost"]["timed"] == len(rows)
    assert len(brush.drawn) == len(rows) + 8, "and two references of four events"
    assert numbers["all"]["pilot"]["pictures"] > len(brush.drawn) and "## Correct the plan by" in page
    rest = world.bring("images/manifest.parquet")
    assert rest == ["draw_shard", "settle_pictures", "merge_manifest"]
    assert Path(world.job("write_pilot")["params"]["benchmark"]).match("draw_shard/000.tsv")
    assert len(set(brush.drawn)) == len(brush.drawn)
    for name in ("shards/000.parquet", "manifest.parquet"):
        assert sha256_of(world.results / "images" / name) == sha256_of(drawn.results / "images" / name)


def test_what_a_picture_took_stands_beside_it_and_outlives_a_job_that_finds_it(drawn, tmp_path):
    world = drawn.copy(tmp_path / "world")
    rows = read_manifest(shard(world))
    with chdir(world.root):
        before = drawing_cost(rows, Path("work"))
    assert before.timed == len(rows) and before.seconds >= before.draw_seconds * len(rows) / 2 > 0
    assert before.devices and before.candidate_bytes > before.picture_bytes > 1000
    world.run("draw_shard", shard="000")
    with chdir(world.root):
        assert drawing_cost(rows, Path("work")) == before


def test_pictures_drawn_together_share_the_seconds(drawn, tmp_path, monkeypatch):
    world = drawn.copy(tmp_path / "world")
    shutil.rmtree(world.root / "work" / "features")
    monkeypatch.setattr("time.perf_counter", count(0, 10).__next__)
    world.run("draw_shard", shard="000", params={"batch": 3})
    with chdir(world.root):
        cost = drawing_cost(read_manifest(shard(world)), Path("work"))
    assert cost.draw_seconds == pytest.approx(10 / 3) and cost.score_seconds == 10
