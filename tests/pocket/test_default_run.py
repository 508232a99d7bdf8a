"""The default pocket run: its contracts, and the numbers that say that the world is learnt."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re

import pytest
import yaml

from mmunlearn.records import (
    Answer,
    Question,
    Scores,
    Split,
    SuiteQuestion,
    Training,
    read_json,
    read_jsonl,
    read_manifest,
)

pytestmark = pytest.mark.pocket
METRICS = ("efficacy", "generality", "retain", "scope", "real", "world_fact")


def table(path) -> dict[tuple[str, str], dict[str, float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["method"], row["target"]): {name: float(row[name]) for name in METRICS} for row in rows}


@pytest.fixture(scope="session")
def table3(pocket):
    return table(pocket.results / "tables" / "table3.csv")


def test_table_3_has_fourteen_rows_of_finite_numbers(pocket, table3):
    methods = ("Finetune", "PO", "GA", "GD", "KL", "DPO", "Goal")
    assert set(table3) == {(method, target) for method in methods for target in ("person", "event")}
    assert all(
        math.isfinite(value) and 0 <= value <= 100 for row in table3.values() for value in row.values()
    )
    header = (pocket.results / "tables" / "table3.csv").read_text().splitlines()[0]
    assert header.startswith("model,forget_percent,method,target," + ",".join(METRICS))


def test_the_world_is_learnt(table3):
    finetuned, goal = table3["Finetune", "person"], table3["Goal", "person"]
    assert finetuned["efficacy"] <= 10 and finetuned["generality"] <= 10
    assert finetuned["retain"] >= 90 and finetuned["scope"] >= 80
    assert goal["efficacy"] >= 98 and goal["generality"] >= 98 and goal["retain"] >= 90
    event = table3["Finetune", "event"]
    assert event["retain"] >= 80 and event["scope"] >= 90


def test_the_local_judge_is_anchored_by_construction(table3):
    assert table3["Finetune", "event"]["efficacy"] == 0
    assert table3["Goal", "event"]["efficacy"] == 100


def test_the_ceiling_is_a_goal_model_of_another_seed(pocket, table3):
    ceiling = table(pocket.results / "tables" / "table3_ceiling.csv")
    assert set(ceiling) == {("Goal", "event")}, "names need no judge"
    assert 0 < ceiling["Goal", "event"]["efficacy"] < 100


def test_the_table_stands_beside_the_published_ones(pocket):
    text = (pocket.results / "tables" / "table3_vs_published.csv").read_text()
    for model in ("llava-1.5-7b", "llama-3.2-vision-11b"):
        assert model in text
    assert "pearman" in text


def test_every_picture_is_valid_and_has_the_checksum_of_its_row(pocket):
    rows = read_manifest(pocket.results / "images" / "manifest.parquet")
    kept = [row for row in rows if row.accepted]
    assert len({row.image_id for row in kept}) == len(kept) >= 0.99 * 800
    assert len({row.image_id for row in rows}) == 800
    for row in kept[::50]:
        picture = pocket.folder / row.path
        assert picture == pocket.results / "images" / f"{row.image_id}.png"
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == row.sha256


def test_the_filters_reject_defects_and_keep_clean_pictures(pocket):
    filters = json.loads((pocket.results / "images" / "filters.json").read_text())
    assert filters["chain"]["recall"] >= 0.95
    assert filters["clean"]["rejected"] <= 0.05 * filters["clean"]["candidates"]


def test_artefacts_are_typed_rows(pocket):
    results = pocket.results
    questions = read_jsonl(results / "dataset" / "questions.jsonl", Question)
    split = read_json(results / "dataset" / "splits" / "person05.json", Split)
    assert len(questions) == 2 * len({row.image_id for row in questions})
    assert len(split.forgotten) == 2
    for name in ("real", "world", "replay"):
        rows = read_jsonl(results / "dataset" / f"{name}.jsonl", SuiteQuestion)
        assert rows and all((pocket.folder / row.path).exists() for row in rows)
    model = results / "models" / "pocket-llava" / "ga-person05" / "seed-1"
    training = read_json(model / "training.json", Training)
    adapter = (model / "adapter" / "adapter_model.safetensors").read_bytes()
    assert training.adapter_sha256 == hashlib.sha256(adapter).hexdigest()
    assert training.steps == len(training.losses) and training.peak_memory_gb < 4
    answers = read_jsonl(
        results / "answers" / "pocket-llava" / "finetuned" / "seed-1" / "dataset.jsonl", Answer
    )
    assert [row.question_id for row in answers] == [row.question_id for row in questions]
    scores = read_json(results / "scores" / "pocket-llava" / "ga-event05" / "seed-1" / "event05.json", Scores)
    assert set(METRICS) < set(scores.metrics) and scores.digests and scores.versions
    config = yaml.safe_load((results / "run_config.yaml").read_text())
    assert config["scale"] == "pocket"


def test_no_real_or_world_picture_is_a_training_picture(pocket):
    """Replay shares no picture with the sets that are scored."""
    digests = {}
    for name in ("real", "world", "replay"):
        for picture in (pocket.results / "dataset" / name).glob("*.png"):
            digests.setdefault(hashlib.sha256(picture.read_bytes()).hexdigest(), set()).add(name)
    assert len(digests) > 300
    assert all(len(names) == 1 for names in digests.values())


def test_a_second_run_has_nothing_to_do(pocket):
    assert "Nothing to be done" in pocket("-n")


def test_figures_with_other_steps_touch_nothing_that_a_table_rests_on(pocket, tmp_path):
    overlay = tmp_path / "steps.yaml"
    overlay.write_text("figures: {steps: [1, 2, 4]}\n")
    assert "Nothing to be done" in pocket("-n", "--configfile", str(overlay))
    overlay.write_text("figures: {steps: [1, 2, 4]}\noutputs: [table3, figures]\n")
    jobs = pocket.planned("--configfile", str(overlay))
    assert jobs["trace_unlearned"] == jobs["answer_steps"] == 10 and jobs["plot_figure7"] == 1
    tables = {"draw_shard", "train_finetuned", "make_table3", "write_report", "write_run_config"}
    assert not tables & set(jobs)


def test_the_report_is_one_file_without_addresses_to_load(pocket):
    page = (pocket.results / "report.html").read_text()
    assert len(page) > 100_000
    assert 'src="http' not in page and "url(http" not in page
    assert not re.search(r'<link[^>]*href="(?!data:)', page), "a link element may hold data only"
