"""`mmunlearn plan`: the same jobs as a dry run, on a machine without any tensor library, and errors by exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.judge_fixtures import store_verdicts, texts

HEAVY = ("torch", "transformers", "diffusers", "pandas", "open_clip", "openai", "matplotlib")


@pytest.fixture(scope="module")
def plan(
    workflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess]:
    """Run the command in the copy, where importing a heavy package is an error."""
    absent = tmp_path_factory.mktemp("absent")
    for name in HEAVY:
        (absent / f"{name}.py").write_text("raise ImportError('not here')\n")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mmunlearn", "plan", *arguments],
            cwd=workflow, env=os.environ | {"PYTHONPATH": str(absent)}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    "arguments",
    [(), ("--configfile", "presets/paper.yaml", "--", "table4", "figures")],
    ids=["pocket", "paper"],
)
def test_the_plan_counts_the_jobs_of_a_dry_run(plan, planned, arguments):
    done = plan("--json", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    own = {row["rule"]: row["to_run"] for row in found["rules"]}
    expected = {rule: count for rule, count in planned(*arguments).items() if rule not in ("total", "job")}
    assert own == expected
    assert found["jobs"] == found["to_run"] == sum(own.values())
    unknown = {row["rule"] for row in found["rules"] if row["hours"] is None and not row["target"]}
    assert unknown == ({"fetch_weights", "build_reference_set"} if arguments else set())


@pytest.fixture
def ran(workflow: Path) -> Iterator[Path]:
    """A benchmark file of a planned job, and one of a job that no plan has."""
    folder = workflow / "benchmarks" / "pocket" / "draw_shard"
    folder.mkdir(parents=True)
    for name, seconds in (("000", 20), ("077", 7000)):
        (folder / f"{name}.tsv").write_text(f"s\th:m:s\tmax_rss\n{seconds}\t-\t512.0\n")
    yield folder
    for path in folder.glob("*.tsv"):
        path.unlink()
    folder.rmdir()


def test_after_a_run_estimate_and_actual_stand_side_by_side(plan, ran):
    said = plan("--", "draw").stdout
    line = next(line for line in said.splitlines() if line.startswith("draw_shard"))
    assert line.split()[:10] == ["draw_shard", "4", "4", "CPU", "51.0", "s", "20.0", "s", "12.8", "s"]
    assert line.split()[10] == "1.57"
    assert "what 1 planned jobs took" in said and "512" not in line


@pytest.fixture
def judged(workflow: Path) -> Iterator[Path]:
    """The files of one judged recipe, and a store that keeps the verdict of its only sentence."""
    results = workflow / "results" / "pocket"
    answer = {"question_id": "i-event", "image_id": "i", "question": "?", "reference": "", "answer": "said"}
    split = {"target": "event", "percent": 5, "seed": 1, "forgotten": [], "forget_test": [], "retain": []}
    files = {
        results / f"answers/pocket-llava/{recipe}/seed-1/dataset.jsonl": answer
        for recipe in ("gd-event05", "finetuned", "goal-event05")
    }
    files[results / "dataset/splits/event05.json"] = split | {"forget_train": ["i"]}
    files[results / "judgements/pocket-llava/gd-event05/seed-1/event05.jsonl"] = {}
    for path, row in files.items():
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(row) + "\n")
    options = yaml.safe_load((workflow / "config.yaml").read_text())["evaluation"]["openai"]
    path = str(workflow / options["store"])
    store_verdicts(options | {"store": path}, texts("said", "said", "said"), tokens=300)
    yield workflow / options["store"]
    shutil.rmtree(results)
    shutil.rmtree((workflow / options["store"]).parent)


def test_what_the_judge_has_used_stands_beside(plan, judged):
    arguments = ("--config", "evaluation={judge: openai}", "--", "evaluate")
    found = json.loads(plan("--json", *arguments).stdout)
    done = {line["name"]: line["done"] for line in found["totals"] if line["name"].startswith("judge")}
    assert [done[f"judge {name}"]["actual"] for name in ("cases", "calls", "tokens")] == [1, 1, 310]
    assert done["judge cost"]["actual"] == pytest.approx((300 * 0.15 + 10 * 0.6) / 1e6)
    judged.unlink()
    text = plan(*arguments)
    assert text.returncode == 0 and "there is no such file" in text.stdout


def test_a_corrected_assumption_changes_the_estimate(plan, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("plan: {acceptance: {value: 0.5, source: mine}}\n")
    said = plan("--configfile", str(overlay), "--", "draw").stdout
    assert "acceptance = 0.5" in said and "mine" in said and "1,600 pictures drawn" in said


def test_a_wrong_configuration_or_file_is_exit_code_1(plan, tmp_path):
    overlay = tmp_path / "typo.yaml"
    overlay.write_text("plan: {draw_second: {value: 1.0}}\n")
    done = plan("--configfile", str(overlay))
    assert done.returncode == 1 and done.stdout == ""
    assert "unknown key 'plan.draw_second': did you mean 'draw_seconds'?" in done.stderr
    gone = plan("--configfile", "presets/papre.yaml")
    assert gone.returncode == 1 and "found no file presets/papre.yaml" in gone.stderr
    assert plan("--", "nonsense").returncode == 1
