"""The judge `openai` in the workflow: asked once for each verdict, whatever else is changed or deleted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmunlearn.records import Judgement, Scores, read_json, read_jsonl
from mmunlearn.workflow.jobs import Jobs
from tests.copies import copy_workflow
from tests.loopback import ChatServer, Step
from tests.rules.standin import ROOT, World

GA_EVENT = {"model": "tiny", "recipe": "ga-event15", "split": "event15", "seed": 1}
KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)


@pytest.fixture
def server():
    with ChatServer(lambda body: {"score": 0.25}) as served:
        yield served


def openai_config(config: dict, server: ChatServer) -> dict:
    place = {"base_url": server.base_url, "key_env": "TEST_KEY", "max_retries": 1}
    evaluation = config["evaluation"] | {"judge": "openai", "openai": config["evaluation"]["openai"] | place}
    return config | {"evaluation": evaluation}


def world_with(judged: World, folder: Path, server: ChatServer) -> World:
    copy = judged.copy(folder)
    config = openai_config(copy.config, server)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return World(folder, config)


def rows_of(world: World) -> list[Judgement]:
    return read_jsonl(world.root / world.job("judge_answers", **GA_EVENT)["output"][0], Judgement)


def test_a_judged_recipe_is_scored_by_the_models_verdicts(judged, tmp_path, server):
    world = world_with(judged, tmp_path / "world", server)
    world.run("judge_answers", **GA_EVENT)
    assert {row.score for row in rows_of(world)} == {0.25} and 0 < len(server.requests) <= len(rows_of(world))
    world.run("score_answers", **GA_EVENT)
    scores = read_json(world.root / world.job("score_answers", **GA_EVENT)["output"][0], Scores)
    assert scores.judge == "openai/gpt-4o-mini" and scores.metrics["efficacy"].value == 25.0
    log = world.log("judge_answers", **GA_EVENT)
    assert "0 verdicts were kept" in log and KEY not in log


def test_another_folder_and_another_run_of_the_job_call_nothing(judged, tmp_path, server):
    world = world_with(judged, tmp_path / "world", server)
    world.run("judge_answers", **GA_EVENT)
    first = len(server.requests)
    world.run("judge_answers", config={"evaluation": {"max_missing_share": 0.5}}, **GA_EVENT)
    shutil.copytree(world.results, world.root / "results" / "other")
    shutil.rmtree(world.root / "results" / "other" / "judgements")
    other = World(world.root, world.config | {"scale": "other"})
    (world.root / "config.yaml").write_text(yaml.safe_dump(other.config, sort_keys=False), encoding="utf-8")
    other.run("judge_answers", **GA_EVENT)
    assert {row.score for row in rows_of(other)} == {0.25}
    assert len(server.requests) == first


def test_a_missing_verdict_is_named_and_the_score_is_an_error_unless_allowed(judged, tmp_path, server):
    world = world_with(judged, tmp_path / "world", server)
    server.script = [None] + [Step(500, {"retry-after-ms": "1"}, "out of order")] * 2
    options = world.config["evaluation"]["openai"] | {"concurrency": 1}
    world.run("judge_answers", config={"evaluation": {"openai": options}}, **GA_EVENT)
    missing = [row for row in rows_of(world) if row.score is None]
    assert missing and all("status 500" in row.reason and "out of order" in row.reason for row in missing)
    with pytest.raises(ValueError, match=r"judgements are missing.*--forcerun judge_answers"):
        world.run("score_answers", **GA_EVENT)
    world.run("score_answers", params={"max_missing_share": 1.0}, **GA_EVENT)
    world.run("judge_answers", **GA_EVENT)
    assert None not in [row.score for row in rows_of(world)]


def test_only_what_changes_verdicts_is_a_param(judged, tmp_path, server):
    world = world_with(judged, tmp_path / "world", server)

    def params(**changed):
        options = world.config["evaluation"]["openai"] | changed
        config = world.config | {"evaluation": world.config["evaluation"] | {"openai": options}}
        (world.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return World(world.root, config).job("judge_answers", **GA_EVENT)["params"]

    first = params()
    budget = {"max_calls": 9, "max_cost": 1.0, "prompt_price": 9.0, "store": "elsewhere.sqlite"}
    assert params(key_env="OTHER", timeout=1, concurrency=1, batch_api=True, **budget) == first
    for changed in ({"model": "n"}, {"temperature": 1.0}, {"seed": 2}, {"base_url": "http://127.0.0.1:1/v1"}):
        assert params(**changed) != first


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_one_job_at_a_time_asks_a_paid_judge(profile):
    text = (ROOT / "profiles" / profile / "profile.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["resources"]["judge"] == 1
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert Jobs(config).judging == {"judge": 0}
    config["evaluation"]["judge"] = "openai"
    assert Jobs(config).judging["judge"] == 1


def snakemake(folder: Path, *arguments: str) -> dict[str, int]:
    """Run or plan a target; the jobs by rule."""
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"} | {
        "PYTHONPATH": str(folder)
    }
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0 and KEY not in text, text
    table = re.findall(r"^(\w+) +(\d+)$", text, flags=re.MULTILINE)
    return {rule: int(jobs) for rule, jobs in table if rule != "total"}


def test_touching_a_tables_code_calls_no_judge_and_loads_no_model(published, tmp_path, server):
    """A real run asks for verdicts; then a table's code changes."""
    folder, target = copy_workflow(tmp_path / "workflow"), "results/mini/tables/table3.csv"
    config = openai_config(published.config, server)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    for name in ("results", "models"):
        shutil.copytree(published.root / name, folder / name)
    jobs = snakemake(folder, "--forcerun", "judge_answers", "--", target)
    assert jobs["judge_answers"] == 5 and "answer_questions" not in jobs
    assert server.requests and ",25.0," in (folder / target).read_text()
    source = folder / "mmunlearn" / "reporting" / "tables.py"
    source.write_text(source.read_text() + "\nTOUCHED = True\n")
    assert snakemake(folder, "-n", target) == {"make_table3": 1}
