"""The data set as others get it: its counts, Figure 4, and the export that `datasets` reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from mmunlearn.records import Person, Question, RecordError, read_jsonl, read_manifest, sha256_of
from tests.rules.mini import split_of
from tests.rules.standin import World


@pytest.fixture(scope="session")
def exported(asked: World) -> World:
    world = asked.copy(asked.root.with_name("exported"))
    for rule in ("count_dataset", "plot_figure4", "write_run_config", "export_dataset"):
        world.run(rule)
    return world


def test_the_counts_are_those_of_the_files(exported):
    counts = json.loads((exported.results / "dataset" / "statistics.json").read_text(encoding="utf-8"))
    rows = read_manifest(exported.results / "images" / "manifest.parquet")
    assert (counts["people"], counts["events"], counts["cells"]) == (4, 4, 16)
    assert (counts["candidates"], counts["pictures"]) == (len(rows), sum(row.accepted for row in rows))
    assert sum(int(n) * cells for n, cells in counts["attempts"].items()) == len(rows)
    questions = read_jsonl(exported.results / "dataset" / "questions.jsonl", Question)
    assert counts["questions"] == Counter(question.kind for question in questions)
    for name in ("person15", "event15"):
        split = split_of(exported, name)
        assert counts["splits"][name]["retain"] == len(split.retain)
    scales = {str(scale) for scale in exported.config["images"]["guidance_scales"]}
    assert set(counts["guidance_scales"]) <= scales


def test_figure_4_is_a_picture_and_a_page(exported):
    with Image.open(exported.results / "figures" / "fig4.png") as picture:
        assert min(picture.size) > 1000 and len(picture.convert("RGB").getcolors(1 << 24)) > 50
    assert (exported.results / "figures" / "fig4.pdf").read_bytes().startswith(b"%PDF")


def test_datasets_reads_the_pictures_of_the_run(exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = exported.results / "export"
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    manifest = read_manifest(exported.results / "images" / "manifest.parquet")
    drawn = {row.image_id: row for row in manifest if row.accepted}
    names = {
        one.person_id: one.name for one in read_jsonl(exported.results / "curation" / "people.jsonl", Person)
    }
    assert rows["image_id"][:] == sorted(drawn)
    for row in rows:
        with Image.open(exported.root / drawn[row["image_id"]].path) as picture:
            assert row["image"].tobytes() == picture.tobytes()
        assert row["name"] == names[row["person_id"]]
        assert {one["kind"]: one["answer"] for one in row["questions"]} == {
            "person": f"This is {row['name']}.",
            "event": row["description"],
        }


def test_the_export_lists_all_its_files_and_the_settings_of_the_run(exported):
    folder = exported.results / "export"
    told = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert told == {name: sha256_of(folder / name) for name in files - {"checksums.json"}}
    assert {"splits/person15.json", "splits/event15.json", "manifest.parquet"} <= files
    card = (folder / "README.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert settings["images"]["thresholds"] == exported.config["images"]["thresholds"]
    assert str(exported.root) not in card


def test_a_lost_picture_is_named_in_the_error_and_in_the_log(exported, tmp_path):
    world = exported.copy(tmp_path / "world")
    row = next(row for row in read_manifest(world.results / "images" / "manifest.parquet") if row.accepted)
    (world.root / row.path).unlink()
    with pytest.raises(RecordError, match=f"{Path(row.path).name}.*Found no such file"):
        world.run("export_dataset")
    assert f"{row.path}, the picture of {row.image_id}" in world.log("export_dataset")
    assert not (world.results / "export" / "README.md").exists()


def test_made_again_all_is_the_same_bytes(exported, tmp_path):
    world = exported.copy(tmp_path / "world")
    for rule in ("count_dataset", "plot_figure4", "export_dataset"):
        world.run(rule)
    made = ["dataset/statistics.json", "figures/fig4.png", "figures/fig4.pdf", "export/checksums.json"]
    for name in made:
        assert sha256_of(world.results / name) == sha256_of(exported.results / name), name
