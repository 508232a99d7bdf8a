"""The data set as others get it, as the rules make it: its counts, Figure 4, and the export."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import yaml
from PIL import Image

from mmunlearn.records import Question, read_jsonl, read_manifest, sha256_of
from tests.rules.mini import split_of
from tests.rules.standin import World


@pytest.fixture(scope="module")
def exported(asked: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = asked.copy(tmp_path_factory.mktemp("export") / "world")
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
        assert counts["splits"][name]["retain"] == len(split_of(exported, name).retain)


def test_figure_4_is_a_picture_and_a_page(exported):
    with Image.open(exported.results / "figures" / "fig4.png") as picture:
        assert min(picture.size) > 1000 and len(picture.convert("RGB").getcolors(1 << 24)) > 50
    assert (exported.results / "figures" / "fig4.pdf").read_bytes().startswith(b"%PDF")


def test_the_export_lists_all_its_files_and_the_settings_of_the_run(exported):
    folder = exported.results / "export"
    digests = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert digests == {name: sha256_of(folder / name) for name in files - {"checksums.json"}}
    names = ("people.jsonl", "events.jsonl", "statistics.json", "splits/person15.json", "splits/event15.json")
    assert {"manifest.parquet", "data/pictures-00000-of-00001.parquet", *names} <= files
    card = (folder / "README.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert settings["images"]["thresholds"] == exported.config["images"]["thresholds"]
    assert str(exported.root) not in card
