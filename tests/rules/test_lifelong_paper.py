"""The rules of presets/mlubench.yaml on tiny checkpoints of LLaVA-NeXT and Qwen3-VL: two tasks and all methods."""

from __future__ import annotations

import csv
import gc
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from mmunlearn.files import RecordError
from mmunlearn.lifelong.scores import StageScores
from mmunlearn.records import Answer, Training, read_json, read_jsonl, sha256_of
from mmunlearn.tasks import TaskQuestion
from mmunlearn.weights.errors import WeightsError
from mmunlearn.workflow.check import prepare
from mmunlearn.workflow.lifelong import OUTPUTS, labels
from tests.loopback import BatchServer
from tests.matrix_check import check_matrix
from tests.rules.standin import ROOT, World
from tests.tiny_scorers import write_clip
from tests.tiny_vlm import write_vlm
from tests.unit.task_files import write_pictures, write_release, zipped

pytest.importorskip("open_clip", reason="the extra `paper` is not installed")

FAMILIES = {"llava-v1.6-7b": "llava_next", "qwen3-vl-4b-instruct": "qwen3_vl"}
MADE = [path.removeprefix("<results>/") for path in (*OUTPUTS, "<results>/lifelong.html")]
COLUMNS = ("A-UA", "A-UB", "B-UB")
SIZES = {"A": 8, "B": 4}
"""Questions of each role of a task: two on each of two pictures of its entities, of which B has one."""


def paper_config(**evaluation: Any) -> dict[str, Any]:
    """config.yaml, MLUBench's preset and the test's, merged as Snakemake merges them."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for overlay in ("presets/mlubench.yaml", "tests/presets/mlubench-tiny.yaml"):
        update_config(config, yaml.safe_load((ROOT / overlay).read_text(encoding="utf-8")))
    update_config(config, {"evaluation": evaluation})
    prepare(config)
    return config


@contextmanager
def unscanned() -> Iterator[None]:
    """Each training collects garbage several times; of the libraries' many objects there is none."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> World:
    """All tables, figures and the page: the data a zip with Unicode's names, and pictures that are cut into tiles."""
    root = tmp_path_factory.mktemp("mlubench") / "world"
    world = World.make(root, paper_config())
    zipped(write_release(root / "data" / "tasks", pictures=2), top="MLUBench/")
    write_pictures(root / "data" / "pictures", pictures=2, size=(40, 24))
    for name, family in FAMILIES.items():
        write_vlm(family, root / "models" / name)
    write_clip(root / "models" / "clip")
    world.bring("lifelong/qwen3-vl-4b-instruct/ga/AB/seed-1/B/training.json")  # imports what the others need
    with unscanned():
        world.bring(*MADE)
    return world


def table(world: World, name: str) -> list[dict[str, str]]:
    with (world.results / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sequence(world: World, model: str, method: str) -> Path:
    return world.results / "lifelong" / model / method / "AB" / "seed-1"


def test_the_matrix_has_every_method_of_both_models(paper):
    spelt = labels(paper.config["lifelong"])
    rows = table(paper, "mlubench")
    assert list(rows[0])[:6] == ["model", "method", "metric", *COLUMNS]
    metrics = ("forget", "utility", "knows", "degenerate")
    assert Counter((row["model"], row["method"], row["metric"]) for row in rows) == Counter(
        product(FAMILIES, spelt.values(), metrics)
    )
    assert set(spelt.values()) == {"GA", "GD", "KL", "NPO", "PO", "Base", "LUMoE", "LUMoE, CLIP gate",
                                   "LUMoE, oracle gate", "Last expert"}  # fmt: skip
    for row, column in product(rows, COLUMNS):
        assert (row[f"{column}_n"], row[f"{column}_missing"]) == (str(SIZES[column[0]]), "0")
    assert {(row["judge"], row["seed_list"]) for row in rows} == {("local", "1")}
    refusals = ROOT / paper.config["lifelong"]["train"]["refusals"]
    assert check_matrix(paper.results, refusals, order="AB") == len(rows) * len(COLUMNS)
    for name in ("mlubench.md", "mlubench.tex"):
        text = (paper.results / "tables" / name).read_text(encoding="utf-8")
        assert all(model in text for model in FAMILIES)


def test_what_holds_whatever_is_learnt(paper):
    """The base does not change, and no retained question leaves it where the gate knows all."""
    cells = {(row["model"], row["method"], row["metric"]): [row[name] for name in COLUMNS]
             for row in table(paper, "mlubench")}  # fmt: skip
    for model in FAMILIES:
        assert cells[model, "LUMoE, oracle gate", "utility"] == cells[model, "Base", "utility"]
        for metric in ("forget", "utility", "knows", "degenerate"):
            first, second, _ = cells[model, "Base", metric]
            assert first == second
    gates = {(row["model"], row["method"], row["stage"], row["set"]): row
             for row in table(paper, "lifelong_gate") if not row["entity_class"]}  # fmt: skip
    assert not any(method == "Base" for _, method, *_ in gates)
    for model in FAMILIES:
        oracle, last = (gates[model, name, "B", "forget"] for name in ("LUMoE, oracle gate", "Last expert"))
        assert [float(oracle[name]) for name in ("right", "wrong", "base")] == [1, 0, 0]
        assert [float(last[name]) for name in ("right", "wrong", "base")] == pytest.approx([1 / 3, 2 / 3, 0])
        assert float(gates[model, "LUMoE, oracle gate", "B", "retain"]["base"]) == 1
        assert float(gates[model, "LUMoE, CLIP gate", "B", "untouched"]["wrong"]) == 1, "without a threshold"
        assert gates[model, "LUMoE", "B", "forget"]["n"] == "6"


def test_every_task_of_every_method_takes_a_step_of_its_own(paper):
    for model in FAMILIES:
        seen = set()
        for method in ("ga", "gd", "kl", "npo", "po"):
            homes = [sequence(paper, model, method) / task for task in "AB"]
            trainings = [read_json(home / "training.json", Training) for home in homes]
            assert [one.steps for one in trainings] == [1, 1]
            assert all(math.isfinite(row["loss"]) for one in trainings for row in one.losses)
            seen |= {sha256_of(home / "adapter" / "adapter_model.safetensors") for home in homes}
        assert len(seen) == 10, "no two of them are the same"


def test_drift_is_measured_of_qwen_alone(paper):
    rows = table(paper, "representation_drift")
    assert {row["model"] for row in rows} == {"qwen3-vl-4b-instruct"}
    assert {row["method"] for row in rows} == {"GA", "GD", "KL", "NPO", "PO", "LUMoE"}
    assert {row["task"] for row in rows} == {"A", "B"}
    for row in rows:
        assert float(row["delta_gap"]) == pytest.approx(
            float(row["unlearned"]) - float(row["original"]), abs=1e-6
        )


def test_names_of_any_script_are_read_and_every_picture_is_there(paper):
    rows = read_jsonl(paper.results / "lifelong" / "questions.jsonl", TaskQuestion)
    assert {row.entity for row in rows} == {
        "Dog",
        "Dr. Ω!",
        "Rose",
        "Corn",
        "Café de Flore",
        "苏姿丰",
        "Moon",
    }
    assert len(rows) == 28 and len({row.image_id for row in rows}) == 14


def test_both_models_go_by_the_same_rules(paper):
    """By the logs that jobs have left; drift is Qwen's alone."""
    logs = paper.root / "logs" / paper.config["scale"]
    of_rules = {folder.name: {path.stem if path.is_file() else path.name for path in folder.iterdir()}
                for folder in logs.iterdir() if folder.is_dir()}  # fmt: skip
    models = {rule: {name for name in FAMILIES if name in found} for rule, found in of_rules.items()}
    assert models.pop("measure_drift") == {"qwen3-vl-4b-instruct"}
    assert len(models) == 10 and all(found == set(FAMILIES) for found in models.values()), models


def test_a_second_run_has_nothing_to_do(paper):
    assert paper.bring(*MADE) == []


def test_a_model_judges_by_batches(paper, tmp_path):
    """The preset's own judge, at an endpoint here that rates every answer 1; equal cases are asked once."""
    copied, (model, method) = paper.copy(tmp_path / "world"), ("qwen3-vl-4b-instruct", "ga")
    with BatchServer(lambda body: {"score": 1}) as server:
        place = {"base_url": server.base_url, "key_env": None, "poll_seconds": 0.01}
        world = World(copied.root, paper_config(judge="openai", openai=place))
        (world.root / "config.yaml").write_text(
            yaml.safe_dump(world.config, sort_keys=False), encoding="utf-8"
        )
        wildcards = {"model": model, "method": method, "order": "AB", "seed": 1}
        for rubric in ("rejection", "correctness"):
            world.run("judge_stages", **wildcards, rubric=rubric)
        world.run("score_stages", **wildcards)
    home = sequence(world, model, method)
    answers = [row for task in "AB" for row in read_jsonl(home / task / "answers.jsonl", Answer)]
    cases = {("forget" in row.question_id, row.question, row.reference, row.answer) for row in answers}
    batches = [lines.splitlines() for name, lines in server.files.items() if name.startswith("file-")]
    assert len(server.batches) == len(batches) == 2 and sum(map(len, batches)) == len(cases)
    assert not any("chat" in request.path for request in server.requests)
    scores = read_json(home / "scores.json", StageScores)
    rated = [one for one in scores.cells if one.metric in ("forget", "utility")]
    assert scores.judge == "openai/gpt-4o" and {(one.value, one.missing) for one in rated} == {(0.5, 0)}


def test_a_damaged_model_or_file_of_answers_is_named(paper, tmp_path):
    world = paper.copy(tmp_path / "world")
    wildcards = {"model": "llava-v1.6-7b", "method": "npo", "order": "AB", "seed": 1}
    home = sequence(world, "llava-v1.6-7b", "npo")
    answers = home / "B" / "answers.jsonl"
    answers.write_bytes(answers.read_bytes()[:-40])
    with pytest.raises(RecordError, match=r"npo/AB/seed-1/B/answers\.jsonl"):
        world.run("judge_stages", **wildcards, rubric="correctness")
    with pytest.raises(RecordError, match=r"npo/AB/seed-1/B/answers\.jsonl"):
        world.run("score_stages", **wildcards)
    weights = home / "A" / "adapter" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"npo/AB/seed-1/A/adapter"):
        world.run("answer_stages", **wildcards)
    world.run("unlearn_tasks", **wildcards)
    assert weights.read_bytes() == content, "the finished stage is at hand"
    world.run("answer_stages", **wildcards)
    assert (
        answers.read_bytes() == (sequence(paper, "llava-v1.6-7b", "npo") / "B" / "answers.jsonl").read_bytes()
    )
