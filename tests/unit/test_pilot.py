"""What a shard says of all, against numbers worked out by hand; resumed shards are no faster than they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mmunlearn.records import Candidate, write_manifest
from mmunlearn.reporting.filter_statistics import check_images
from mmunlearn.synthesis.candidate_store import features_file
from mmunlearn.synthesis.policy import expected_draws
from mmunlearn.workflow.params import Params
from mmunlearn.workflow.pilot import Drawing, write_pilot
from mmunlearn.workflow.reading import extended
from mmunlearn.workflow.work import Estimate, PlannedJob, Sizes
from tests.unit.report_fixtures import candidate
from tests.unit.test_config_schema import ROOT, check, load, merged

PAPER = merged(load(ROOT / "presets" / "paper.yaml"))
NETWORKS = ["flux-dev", "clip-vit-l-14"]  # 35.45 s to read
HEADER = "s\tmax_rss\n"
Pilot = dict[str, Any]
LISTED = extended(ROOT / "presets" / "paper-official.yaml")
LISTED["plan"] |= {"cell_pictures": {"value": 2.0}, "pair_refusals": {"value": 0.5}}
"""Two pictures a cell, and pairs that are drawn anew where anything is drawn."""


def store(row: Candidate, took: tuple[float, float] | None = (6.0, 0.25)) -> Candidate:
    """A candidate in a store, of a picture of 1000 bytes and what was measured in it; `took`: to draw, to score it."""
    unit = Path("work/draws/d", f"{row.image_id}-a{row.attempt // 5 * 5:02d}-ab")
    picture = unit / f"a{row.attempt:02d}.png"
    unit.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"x" * 1000)
    features = Path("work/features/f", features_file(picture, "0" * 64))
    features.parent.mkdir(parents=True, exist_ok=True)
    np.savez(features, **({"seconds": took[1]} if took else {"faces": 1}))
    if took:
        (unit / "took.json").write_text(json.dumps({"seconds": took[0], "device": "NVIDIA H100"}))
    return row.model_copy(update={"path": picture.as_posix(), "sha256": "0" * 64})


def shard(cells: list[list[str]], people: int = 1, took: Any = (6.0, 0.25)) -> list[Candidate]:
    """A cell a list of why its candidates are refused; the first that is not is accepted, further ones are surplus."""
    rows = []
    for at, reasons in enumerate(cells):
        name = f"p{at % people:03d}-e{at // people:02d}"
        good = [k for k, reason in enumerate(reasons) if not reason]
        of_cell = [reason or ("" if k == good[0] else "surplus") for k, reason in enumerate(reasons)]
        rows += [store(candidate(name, k, reason), took) for k, reason in enumerate(of_cell)]
    return rows


def pilot(rows: list[Candidate], job_seconds: float | None = None, config: Any = PAPER) -> tuple[Pilot, str]:
    """The numbers and the page."""
    benchmark = Path("000.tsv")
    if job_seconds is not None:
        benchmark.write_text(f"{HEADER}{job_seconds}\t1\n")
    write_manifest("000.parquet", rows)
    write_pilot(
        Path("pilot.json"),
        Path("pilot.md"),
        shard=Path("000.parquet"),
        benchmark=benchmark,
        batch=1 if config["images"]["stop_at_first_valid"] else 5,
        max_attempts=config["images"]["max_attempts"],
        redraws=config["images"]["candidates"],
        networks=NETWORKS,
        thresholds=config["images"]["thresholds"],
        config=config,
        work=Path("work"),
    )
    return json.loads(Path("pilot.json").read_text()), Path("pilot.md").read_text().replace("\n  ", " ")


EASY, HARD = ["", "", "scene", "scene", "identity"], ["identity"] * 25


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_shard_of_the_paper_says_what_all_cells_take():
    """Of 40 cells 36 have a valid picture in the first five, 4 in none of 25: 7 pictures a cell."""
    found, page = pilot(shard([EASY] * 36 + [HARD] * 4), job_seconds=280 * 6.25 + 90 + 35.45)
    assert (found["cells"], found["valid"], found["candidates"]) == (40, 36, 280)
    assert found["acceptance"]["value"] == pytest.approx(72 / 280)
    assert found["drawn_a_cell"]["value"] == 7.0
    each = found["drawn_a_valid_picture"]["cell"]
    assert each["value"] == pytest.approx(280 / 36)
    assert found["interval_over"] == "cell", "of one person an interval over people says nothing"
    assert 5.5 < each["low"] < 280 / 36 < each["high"] < 13
    assert found["drawn_a_valid_picture"]["person"]["high"] > 100, "one person says next to nothing of others"
    assert found["filters"]["identity"]["refused"] == 36 + 100 and found["filters"]["scene"]["alone"] == 72
    measured = found["measured"]
    assert (measured["draw_seconds"], measured["score_seconds"], measured["draw_job_seconds"]) == (
        6.0,
        0.25,
        90.0,
    )
    # the plan takes cells for alike: at the share of 0.257 it would count 6.5 pictures a cell
    assert expected_draws(72 / 280, 5, 25) == pytest.approx(6.458, abs=0.001)
    assert expected_draws(measured["acceptance"], 5, 25) == pytest.approx(7.0, rel=0.01)
    pictures = found["all"]["pilot"]["pictures"]
    assert pictures == pytest.approx(8000 * 7 + 200 + 8000 * 0.01 * 5, rel=0.01), "cells, references, pairs"
    hours = found["all"]["pilot"]["hours"]
    assert hours == pytest.approx((pictures * 6.25 + 202 * (90 + 35.45)) / 3600)
    assert found["all"]["pilot"]["gpu_hours"] == hours
    features = next(Path("work/features/f").glob("*.npz")).stat().st_size
    rest = ((pictures + 8000) * 0.001 + 8000 * 4.19) / 1000  # copies; no embedding is there: the plan's
    assert found["all"]["pilot"]["disk"] - rest == pytest.approx(pictures * features / 1e9)
    assert found["all"]["low"]["pictures"] < pictures < found["all"]["high"]["pictures"]
    assert found["all"]["plan"]["pictures"] == pytest.approx(8000 * expected_draws(0.5, 5, 25) + 200 + 400)
    assert "Measured on NVIDIA H100" in page and "of acceptance alone" in page.replace("\n", " ")
    assert "\n.venv/bin/mmunlearn plan --configfile presets/paper-first.yaml mine.yaml\n" in page
    assert "36 of 40 cells have a valid picture (90.0%), after 280 candidates of 1 people." in page
    assert (
        "The check asks for a valid picture in 100.0% of the cells" in page
        and "identity refuses most, 136" in page
    )


def test_the_overlay_gives_the_plan_the_pilot_s_numbers():
    found, _ = pilot(shard([EASY] * 36 + [HARD] * 4), job_seconds=2000)
    overlay = yaml.safe_load(Path("pilot.md").read_text().split("```yaml\n")[1].split("```")[0])
    assert overlay["plan"]["draw_seconds"] == {"value": 6.0, "source": "pilot, NVIDIA H100"}
    paper = load(ROOT / "presets" / "paper.yaml")
    plan = {name: {**paper["plan"][name], **row} for name, row in overlay["plan"].items()}
    corrected = merged({**paper, "plan": {**paper["plan"], **plan}})
    check(corrected, places=False)
    totals = Drawing(corrected, 5, 25, 5, NETWORKS).totals({})
    assert {**totals, "disk": 0} == {**found["all"]["pilot"], "disk": 0}
    assert totals["disk"] == pytest.approx(found["all"]["pilot"]["disk"], rel=0.01), "but for features"


@pytest.mark.parametrize("config", [PAPER, merged({}), merged(LISTED)])
def test_all_drawing_is_counted_as_the_plan_counts_it(config):
    """With the values that the rules hand over."""
    folder, rules = Path("results", config["scale"], "images"), Params(config)
    shards = [f"shards/{shard}.parquet" for shard in rules.shards]
    names = ["references.npz", *shards, "settled.parquet"]
    batch, attempts = rules.sampler["batch"], rules.attempts
    params = {"batch": batch, "max_attempts": attempts, "candidates": rules.redraws}
    sizes = Sizes(config)
    networks = NETWORKS if config is PAPER else []
    given = {
        "params": {**config["images"], **params},
        "inputs": {"weights": [Path(f"{name}.json") for name in networks]},
    }
    jobs = [
        Estimate(PlannedJob("r", (folder / name,), **given), sizes) for name in [*names, "manifest.parquet"]
    ]
    found = Drawing(config, batch, attempts, rules.redraws, networks).totals({})
    if config["images"]["generator"] == "files":
        assert found["pictures"] == 200 * 40 * 2 + 200, "all that are there, and the references"
    assert found["disk"] == pytest.approx(sum(job.storage.gigabytes().get("GB on disk", 0) for job in jobs))
    jobs.pop()  # it copies what is accepted
    assert found["pictures"] == pytest.approx(sum(sum(job.counts.values()) for job in jobs))
    light = config["plan"]["light_job_seconds"]["value"]
    assert found["hours"] * 3600 == pytest.approx(sum(job.seconds for job in jobs), abs=light + 1e-6)


def test_embeddings_of_prompts_are_measured_where_there_are_any():
    path = Path("work/prompt_embeddings/x/a.safetensors")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 2_000_000)
    found, _ = pilot(shard([EASY] * 6))
    assert (found["measured"]["embedding_mb"], found["measured"]["picture_mb"]) == (2.0, 0.001)
    assert found["all"]["pilot"]["disk"] == pytest.approx(8000 * 0.002, rel=0.02)


def test_a_resumed_shard_is_no_faster_than_it_was():
    """Its last job took a second; the seconds of its pictures stand beside them, the rest is the plan's."""
    found, page = pilot(shard([EASY] * 8), job_seconds=1.0)
    assert found["measured"].keys() == {"acceptance", "draw_seconds", "score_seconds", "picture_mb"}
    assert found["all"]["pilot"]["hours"] == pytest.approx(
        (found["all"]["pilot"]["pictures"] * 6.25 + 202 * (80 + 35.45)) / 3600
    )
    assert "found pictures there" in page


def test_pictures_of_an_older_version_are_not_timed():
    found, page = pilot(shard([EASY] * 8, took=None), job_seconds=1.0)
    assert found["measured"].keys() == {"acceptance", "picture_mb"} and found["cost"]["timed"] == 0
    assert "Seconds are known of 0 of the 40 candidates" in page and "hours rest on the plan" in page
    plan = found["all"]["plan"]
    assert found["all"]["pilot"]["hours"] / found["all"]["pilot"]["pictures"] == pytest.approx(
        plan["hours"] / plan["pictures"], rel=0.1
    )


def test_what_a_job_takes_besides_is_unknown_where_it_found_some_pictures():
    """Of an older version, without seconds: the job took long for the others alone."""
    rows = shard([EASY] * 8)
    Path("work/draws/d/p000-e00-a00-ab/took.json").unlink()
    found, page = pilot(rows, job_seconds=1000.0)
    assert found["measured"]["draw_seconds"] == 6.0 and "draw_job_seconds" not in found["measured"]
    assert "Seconds are known of 35 of the 40 candidates" in page and "rest on the plan" not in page


def test_the_first_picture_of_a_job_which_loads_the_networks_is_not_what_one_takes():
    rows = shard([EASY] * 6)
    Path("work/draws/d/p000-e00-a00-ab/took.json").write_text('{"seconds": 50, "device": "NVIDIA H100"}')
    found, _ = pilot(rows, job_seconds=500)
    assert found["measured"]["draw_seconds"] == 6.0
    assert found["measured"]["draw_job_seconds"] == pytest.approx(500 - 30 * 6.25 - 35.45, rel=0.01)


def test_where_nothing_passes_it_says_so_and_what_to_look_at():
    found, page = pilot([row.model_copy(update={"identity_l2": 0.85}) for row in shard([HARD] * 3)])
    assert found["drawn_a_valid_picture"]["cell"]["value"] is None
    assert found["all"]["pilot"]["pictures"] == pytest.approx(8000 * 25 + 200 + 400)
    assert "No candidate passes, so nothing can be said of all." in page
    assert "identity refuses most, 75 of 75, 75 alone, its nearest 0.85 at a threshold of 0.8" in page
    assert "unknown, 95% interval" in page
    line = next(line for line in page.splitlines() if line.startswith("identity  "))
    assert line.split() == ["identity", "0.8", "|", "█", "0.85"] and line.index("█") - line.index("|") == 40


def test_intervals_are_over_people_where_there_are_enough():
    """Six people whose pictures succeed or fail together: cells would make them seem sure."""
    cells = [EASY if at % 6 < 4 else HARD for at in range(24)]
    found, page = pilot(shard(cells, people=6))
    assert found["interval_over"] == "person"
    wide, narrow = (found["drawn_a_valid_picture"][over] for over in ("person", "cell"))
    assert wide["low"] < narrow["low"] and (wide["high"] is None or wide["high"] > narrow["high"])
    assert "say little of others" not in page


@pytest.mark.parametrize("drawn", [5.0, 5.2, 7.0, 20.0, 25.0])
def test_the_acceptance_of_so_many_pictures_is_the_inverse_of_the_plan_s_count(drawn):
    acceptance = Drawing(PAPER, 5, 25, 5, []).acceptance(drawn)
    assert expected_draws(acceptance, 5, 25) == pytest.approx(drawn, abs=1e-6)


def test_where_all_cells_take_as_many_pictures_the_share_that_passes_is_the_acceptance():
    assert Drawing(PAPER, 5, 5, 5, []).acceptance(5.0) == 1.0
    one = merged({"images": {"candidates": 1, "max_attempts": 1}})
    rows = shard([[""], [""], [""], ["scene"]])
    found, _ = pilot(rows, config=one)
    assert found["measured"]["acceptance"] == 0.75
    assert {found["all"][case]["pictures"] for case in ("low", "pilot", "high")} == {800 + 100}


def test_filters_that_refuse_nothing_are_counted_by_their_thresholds():
    """As the check counts them; what is accepted and drawn are pictures, whatever the thresholds say."""
    reported = merged({"images": {"filter": "report"}})
    limits = reported["images"]["thresholds"]
    rows = shard([[""]] * 4)
    rows[0] = rows[0].model_copy(update={"identity_l2": limits["identity_l2"] + 0.1, "aesthetic": 0.0})
    rows[1] = rows[1].model_copy(update={"faces": 0, "identity_l2": None})
    found, page = pilot(rows, config=reported)
    counted = {name: one["refused"] for name, one in found["filters"].items()}
    write_manifest("manifest.parquet", rows)
    check_images(Path("manifest.parquet"), [], Path("filters.json"), 0.0, limits)
    checked = json.loads(Path("filters.json").read_text())["filters"]
    assert counted == {name: one["rejected"] for name, one in checked.items()}
    assert counted["identity"] == 2 and counted["aesthetic"] >= 1
    assert found["acceptance"]["value"] == 1.0 and "would refuse (images.filter: report)" in page
