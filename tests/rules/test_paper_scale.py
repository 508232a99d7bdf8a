"""The paper's rules with its real backends, on tiny checkpoints in their on-disk forms: FLUX and the five networks."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from snakemake.utils import update_config

from mmunlearn.records import Candidate, Question, read_jsonl, read_manifest, sha256_of
from mmunlearn.workflow.check import prepare
from tests.rules.mini import curate, draw_shards
from tests.rules.standin import ROOT, World
from tests.tiny_flux import teach_face, write_flux
from tests.tiny_scorers import write_scorers

NAMES = {
    "face": "facenet-vggface2",
    "scene": "clip-vit-l-14",
    "subject": "dino-vitb16",
    "distortion": "musiq-spaq",
    "aesthetic": "laion-aesthetic",
}


def paper_config(sources: dict[str, str]) -> dict[str, Any]:
    """config.yaml, the paper's preset and the test's, merged as Snakemake merges them."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for overlay in ("presets/paper.yaml", "tests/presets/paper-tiny.yaml"):
        update_config(config, yaml.safe_load((ROOT / overlay).read_text(encoding="utf-8")))
    update_config(config, {"weights": {"sources": sources}})
    prepare(config)
    return config


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("checkpoints")
    flux, scorers = write_flux(folder / "flux"), write_scorers(folder / "scorers")
    teach_face(flux)
    sources = {"flux-dev": str(flux)} | {NAMES[kind]: str(path) for kind, path in scorers.items()}
    world = World.make(tmp_path_factory.mktemp("paper") / "world", paper_config(sources))
    for name in sources:
        world.run("fetch_weights", weights=name)
    curate(world)
    world.run("draw_references")
    draw_shards(world)
    for rule in ("settle_pictures", "merge_manifest", "check_images"):
        world.run(rule)
    return world


def manifest(world: World) -> list[Candidate]:
    return read_manifest(world.results / "images" / "manifest.parquet")


def test_a_pin_of_the_configuration_reaches_the_fetch(paper, caplog):
    pins = {"weights": {"revisions": {"dino-vitb16": "b" * 40}}}
    paper.run("fetch_weights", weights="dino-vitb16", config=pins)
    assert f"weights.revisions.dino-vitb16 pins revision {'b' * 40}, but nothing says" in caplog.text


def test_every_cell_has_an_accepted_picture_with_every_score(paper):
    rows = manifest(paper)
    accepted = [row for row in rows if row.accepted]
    assert sorted(row.image_id for row in accepted) == ["p000-e00", "p000-e01", "p001-e00", "p001-e01"]
    assert {row.generator for row in rows} == {"flux"}
    assert {row.guidance_scale for row in rows} == set(paper.config["images"]["guidance_scales"][:2])
    for row in accepted:
        scores = (
            row.identity_l2,
            row.scene_cosine,
            row.scene_pair,
            row.subject_cosine,
            row.distortion,
            row.aesthetic,
        )
        assert row.faces == 1 and None not in scores and np.isfinite(scores).all()
        assert sha256_of(paper.root / row.path) == row.sha256
        assert Image.open(paper.root / row.path).size == (64, 64)
    assert len({row.sha256 for row in rows}) == len(rows), "seeds and guidance change pictures"
    statistics = json.loads((paper.results / "images" / "filters.json").read_text(encoding="utf-8"))
    assert (statistics["cells"], statistics["accepted"], statistics["candidates"]) == (4, 4, 8)


def test_the_prompts_are_the_papers_to_the_letter(paper):
    people = [json.loads(line) for line in (ROOT / "resources/pebench/people.jsonl").open(encoding="utf-8")]
    events = [json.loads(line) for line in (ROOT / "resources/pebench/events.jsonl").open(encoding="utf-8")]
    who, what = people[1], events[0]
    (prompt,) = {row.prompt for row in manifest(paper) if row.image_id == "p001-e00"}
    assert prompt == (
        f"A photo of a {who['job']} {who['age']}-year-old {who['gender']} from {who['birthplace']}, "
        f"named {who['name']}, with {who['appearance']}.: {what['description']} "
        "Generate this photo with the Person ID: p001 and with file name IMG_6105.CR2."
    )


def test_another_shard_size_gives_the_same_pictures_and_scores(paper, tmp_path):
    world = paper.copy(tmp_path / "world")
    for unit in world.root.glob("work/draws/*/p*"):
        shutil.rmtree(unit)
    world.run("draw_shard", shard="000", params={"people_per_shard": 2})
    shards = world.results / "images" / "shards"
    assert read_manifest(shards / "000.parquet") == [
        row for n in (0, 1) for row in read_manifest(paper.results / "images" / "shards" / f"{n:03d}.parquet")
    ]


def test_an_interrupted_shard_ends_in_the_same_bytes(paper, tmp_path):
    """What a killed job has left: some units of pictures, features and embeddings, and no shard."""
    world = paper.copy(tmp_path / "world")
    shard = world.results / "images" / "shards" / "001.parquet"
    digest = sha256_of(shard)
    shard.unlink()
    units = sorted(world.root.glob("work/draws/*/p001-*"))
    shutil.rmtree(units[0])
    times = {path: path.stat().st_mtime_ns for path in units[1].iterdir()}
    next(world.root.glob("work/prompt_embeddings/*/*.safetensors")).unlink()
    world.run("draw_shard", shard="001")
    assert sha256_of(shard) == digest
    assert {path: path.stat().st_mtime_ns for path in units[1].iterdir()} == times, "drawn once only"


def test_a_changed_threshold_judges_anew_without_loading_a_network(paper, tmp_path, monkeypatch):
    import mmunlearn.scorers.networks as networks
    import mmunlearn.synthesis.flux as flux

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a network was used")

    monkeypatch.setattr(networks.NetworkScorers, "measure", refuse)
    monkeypatch.setattr(flux.FluxGenerator, "draw", refuse)
    world = paper.copy(tmp_path / "world")
    strict = world.config["images"]["thresholds"] | {"identity_l2": 2.0}
    draw_shards(world, params={"thresholds": strict})
    rows = [
        row for n in (0, 1) for row in read_manifest(world.results / "images/shards" / f"{n:03d}.parquet")
    ]
    assert sum(row.accepted for row in rows) == 4


def test_the_data_set_follows(paper, tmp_path):
    world = paper.copy(tmp_path / "world")
    world.run("build_questions")
    for split in ("person50", "event50"):
        world.run("split_concepts", split=split)
    world.run("count_dataset")
    questions = read_jsonl(world.results / "dataset" / "questions.jsonl", Question)
    assert len(questions) == 8 and questions[0].answer.startswith("This is ")
    world.run("write_run_config")
    world.run("export_dataset")
    card = (world.results / "export" / "README.md").read_text(encoding="utf-8")
    assert "FLUX" in card and "Non-Commercial" in card
    world.run("review_page", shard="001")
    assert (world.results / "review" / "pictures-001.html").stat().st_size > 10_000
