"""`mmunlearn plan`: the same jobs as a dry run, on a machine without any tensor library, and errors by exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from mmunlearn.cli import main
from mmunlearn.workflow import machine
from mmunlearn.workflow.plan import Plan, make_plan, plan_jobs
from mmunlearn.workflow.show import WIDTH, show_plan
from mmunlearn.workflow.sizes import Sizes
from mmunlearn.workflow.work import PlannedJob
from tests.copies import ROOT, copy_workflow
from tests.unit.judge_fixtures import store_verdicts, texts

OF_PLUGINS = {"pandas", "numpy"} if find_spec("snakemake_executor_plugin_slurm") else set()
"""What Snakemake loads by itself, with its plugins."""
HEAVY = {"torch", "transformers", "diffusers", "pandas", "open_clip", "openai", "matplotlib"} - OF_PLUGINS
DRAWN_AND_TRAINED = ("draw_shard", "train_finetuned", "train_goal", "train_unlearned")
MLUBENCH = ("--configfile", "presets/mlubench.yaml")
TARGETS = ("all", "table4", "figures", "robustness", "review", "export", "pocket_models")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the shipped workflow where nothing has been made."""
    for name in ("config.yaml", "presets", "resources"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(*arguments: str) -> Plan:
    planned = plan_jobs(["--dry-run", "--snakefile", str(ROOT / "Snakefile"), *arguments])
    assert planned is not None
    return make_plan(*planned)


def planned_jobs(preset: str) -> list[PlannedJob]:
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", f"presets/{preset}.yaml"]
    planned = plan_jobs(["--dry-run", *arguments])
    assert planned is not None
    return planned[1]


def unknown(plan: Plan) -> set[str]:
    return {row.rule for row in plan.rules if row.hours is None and not row.target}


def test_all_jobs_of_a_dry_run_are_planned_and_estimated(folder, planned):
    """No rule needs a line in the plan: what it makes, or that it asks for no GPUs, says what it takes."""
    plan = plan_of("--", *TARGETS)
    assert {row.rule: row.to_run for row in plan.rules} == planned(*TARGETS)
    assert plan.jobs == plan.to_run == sum(row.jobs for row in plan.rules)
    assert unknown(plan) == {"train_scorers", "calibrate_scorers", "pretrain_model", "measure_known"}


def test_the_paper_is_counted_by_what_its_rules_say(folder):
    """By hand: 200 people at 40 events, two models (of which one has batches half as large), three percents."""
    plan = plan_of("--configfile", "presets/paper.yaml", "--", *TARGETS[:-1])
    rows, totals = {row.rule: row for row in plan.rules}, {line.name: line.value for line in plan.totals}
    assert totals["disk"] == pytest.approx(
        sum(row.counts.get("GB on disk", 0) for row in plan.rules) + 10.07, abs=0.01
    )
    drawn = 8000 * 5 * sum(1 / 32**k for k in range(5))  # five a cell, and five more where all are refused
    assert totals["pictures drawn"] == pytest.approx(drawn + 8000 * 0.01 * 5)
    table3 = (
        8 * (10 + 20 + 30) * 40
    )  # finetuned, goal, five methods and the ceiling on the events of each split
    table4, figure7 = (
        6 * 400,
        5 * 5 * 400,
    )  # goal, four methods and the ceiling; five methods after five steps
    figure9 = 2 * 400  # two events unlearned alone, each judged on both
    assert totals["judge cases"] == 2 * (table3 + table4 + figure7 + figure9)
    assert rows["train_finetuned"].counts["optimizer steps"] == 5 * (8000 / 64 + 8000 / 32)
    assert rows["trace_unlearned"].counts["optimizer steps"] == 2 * 5 * (16 + 32)
    assert rows["answer_steps"].counts["questions"] == 2 * 2 * 5 * 5 * (2 * 400 + 500 + 2 * 200 + 500)
    assert rows["answer_concepts"].counts["questions"] == 2 * (10 + 2) * 2 * 400
    assert unknown(plan) == {"fetch_weights", "build_reference_set"}
    assert max(map(len, show_plan(plan).splitlines())) <= WIDTH


def test_the_first_part_of_the_paper_is_what_a_day_of_one_gpu_makes_beside_the_pictures(folder):
    """LLaVA alone at 5%: finetuned, three goal models, ten unlearned ones. An hour is 3,600 s."""
    plan = plan_of("--configfile", "presets/paper-first.yaml")
    rows = {row.rule: row for row in plan.rules}
    load = 14.13 + 40
    shown = {"train_finetuned": 40_000, "train_goal": 3 * 38_000}
    for rule, pictures in shown.items():
        assert rows[rule].counts["pictures shown"] == pictures
        assert rows[rule].hours == pytest.approx((pictures * 0.11 + rows[rule].jobs * load) / 3600)
    # 400 pictures of a split with both questions and 1,000 of its retain set, of finetuned both splits' together
    asked = 2 * (400 + 400) + 2 * 1000 + 13 * (2 * 400 + 1000) + 14 * (2 * 200 + 18 * 500)
    assert rows["answer_questions"].counts["questions"] == asked
    drawing = ("draw_shard", "settle_pictures", "draw_references")
    beside = sum(row.hours or 0 for row in plan.rules if row.gpus and row.rule not in drawing)
    assert 8 < beside < 10
    note = next(line.note for line in plan.totals if line.name == "GPU-hours")
    assert f"all else {beside:.1f}; " in note


def test_recipes_that_share_a_job_load_its_model_once(folder):
    """Of 14 jobs, those of five unlearned recipes each become one: a person's goal and four methods; five methods."""
    (folder / "mine.yaml").write_text("evaluation: {recipes_per_job: 5}\n", encoding="utf-8")
    alone, shared = plan_of(), plan_of("--configfile", "mine.yaml")
    rows = [
        {row.rule: row for row in plan.rules if row.rule.startswith("answer")} for plan in (alone, shared)
    ]
    assert [{rule: row.jobs for rule, row in of_plan.items()} for of_plan in rows] == [
        {"answer_questions": 14},
        {"answer_questions": 4, "answer_recipes": 2},
    ]
    questions, hours = (
        [sum(values(row) for row in of_plan.values()) for of_plan in rows]
        for values in (lambda row: row.counts["questions"], lambda row: row.hours)
    )
    assert questions[0] == questions[1]
    assert hours[0] - hours[1] == pytest.approx(8 * 6.5 / 3600, rel=0.05), "a load a job"


def test_a_plan_says_how_many_jobs_a_cluster_is_given(folder):
    """The default run: 4 shards, references, settling, 3 reference sets, 4 encodings, 14 trainings and answerings."""
    config, jobs = plan_jobs(["--dry-run", "--snakefile", str(ROOT / "Snakefile")])
    plan = make_plan(config, jobs)
    assert (plan.to_run, plan.submitted) == (81, 4 + 1 + 1 + 1 + 3 + 4 + 14 + 14)
    memory = {job.rule: job.memory_mb for job in jobs}
    assert (memory["draw_shard"], memory["train_goal"]) == (2000, 4000), "of the first attempt"
    assert "81 jobs, 81 to run, 42 of them submitted on a cluster." in show_plan(plan)


def test_a_profile_without_its_executor_is_an_error_that_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setattr(machine, "lacking_packages", lambda names: list(names))
    for name in ("Snakefile", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.raises(SystemExit, match="1"):
        main(["plan", "--workflow-profile", "profiles/slurm"])
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    for part in (
        "asked for --workflow-profile profiles/slurm",
        "found no snakemake-executor-plugin-slurm",
        ".venv/bin/pip install -c constraints.txt -e '.[slurm]'",
    ):
        assert part in said.err


def readme_row(preset: str) -> list[str]:
    """The cells of README's cost table."""
    lines = (ROOT / "README.md").read_text().splitlines()
    line = next(one for one in lines if f"{preset}.yaml` |" in one and "TB" in one)
    return line.strip("| ").split(" | ")[1:]


def test_the_readme_says_of_mlubench_what_is_known_without_its_tasks(folder):
    """Hours, questions and disk follow from the released tasks; the verdicts' number is told to be 1.18 million."""
    config, planned = plan_jobs(["--dry-run", "--snakefile", str(ROOT / "Snakefile"), *MLUBENCH])
    _, drawn, _, judge, _ = readme_row("mlubench")
    totals = {line.name: line.value for line in make_plan(config, planned).totals}
    assert drawn == f"{totals['pictures drawn']:,.0f}"
    # three models; six rows rate every task's answers after each stage, four each of 15,414 once
    retained = 4 * 1680 + 3 * 1374 + 2 * 1800 + 1134
    verdicts = 3 * (6 * (4 * 2442 + 3 * 2154 + 2 * 2580 + 2250 + retained) + 4 * 15_414)
    calls = verdicts * config["plan"]["judge_calls"]["value"]
    tokens = (config["plan"][name]["value"] for name in ("rating_prompt_tokens", "judge_reply_tokens"))
    cost = Sizes(config).cost("judge", *(calls * each for each in tokens))
    assert judge == f"{round(calls, -3):,.0f} calls at most, {cost:.0f} USD by the Batch API"


@pytest.mark.parametrize("preset", ["paper-first", "paper", "paper-official"])
def test_the_readme_says_what_the_plan_does(folder, preset):
    plan = plan_of("--configfile", f"presets/{preset}.yaml")
    totals = {line.name: line for line in plan.totals}
    pictures, rest = map(
        float, re.match(r"pictures ([\d.]+), all else ([\d.]+);", totals["GPU-hours"].note).groups()
    )
    hours, drawn, questions, judge, disk = readme_row(preset)
    assert hours == f"{pictures:.0f} for pictures, {rest:.0f} for all else"
    assert disk == f"{totals['disk'].value / 1000:.2g} TB"
    opened = totals.get("pictures opened")
    assert drawn == f"{round(totals['pictures drawn'].value, -2):,.0f}" + (
        f"; {opened.value:,.0f} opened" if opened else ""
    )
    asked = totals["questions"].value
    assert questions in (f"{asked / 1e6:.3g} million", f"{asked:,.0f}", f"{round(asked, -3):,.0f}")
    assert (
        judge == f"{round(totals['judge calls'].value, -2):,.0f} calls, {totals['judge cost'].value:.2f} USD"
    )


def test_what_the_first_part_has_made_the_whole_takes_over(folder):
    """Pictures and adapters are the same jobs in both: nothing that reruns a job differs."""
    first, whole = (
        {job.outputs: (job.params, job.inputs) for job in planned_jobs(name) if job.rule in DRAWN_AND_TRAINED}
        for name in ("paper-first", "paper")
    )
    assert len(first) == 200 + 1 + 3 + 10
    assert {outputs: whole.get(outputs) for outputs in first} == first


def test_a_corrected_assumption_changes_the_estimate(folder):
    (folder / "mine.yaml").write_text("plan: {acceptance: {value: 0.5, source: mine}}\n")
    text = show_plan(plan_of("--configfile", "mine.yaml", "--", "draw"))
    assert "acceptance = 0.5" in text and "mine" in text and "1,600 pictures drawn" in text


def test_the_command_sets_what_has_been_done_beside_the_estimate(tmp_path):
    """On a machine without any heavy library, of the files of planned jobs alone."""
    workflow = copy_workflow(tmp_path / "copy")
    answer = {"question_id": "i-event", "image_id": "i", "question": "?", "reference": "", "answer": "it"}
    split = {"target": "event", "percent": 5, "seed": 1, "forgotten": [], "forget_test": [], "retain": []}
    files = {
        f"results/pocket/answers/pocket-llava/{recipe}/seed-1/dataset.jsonl": json.dumps(answer)
        for recipe in ("gd-event05", "finetuned", "goal-event05")
    }
    files["results/pocket/dataset/splits/event05.json"] = json.dumps(split | {"forget_train": ["i"]})
    files["results/pocket/judgements/pocket-llava/gd-event05/seed-1/event05.jsonl"] = "{}"
    for shard, seconds in (("000", 20), ("077", 7000)):
        files[f"benchmarks/pocket/draw_shard/{shard}.tsv"] = f"s\th:m:s\tmax_rss\n{seconds}\t-\t512.0"
    for name, text in files.items():
        (workflow / name).parent.mkdir(parents=True, exist_ok=True)
        (workflow / name).write_text(f"{text}\n")
    options = yaml.safe_load((workflow / "config.yaml").read_text())["evaluation"]["openai"]
    store_verdicts(options | {"store": str(workflow / options["store"])}, texts("it", "it", "it"), tokens=300)
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    command = [sys.executable, "-m", "mmunlearn", "plan", "--json", "--config", "evaluation={judge: openai}"]
    done = subprocess.run(
        [*command, "--", "evaluate"],
        cwd=workflow, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    rows, totals = (
        {row[key]: row for row in plan[name]} for name, key in (("rules", "rule"), ("totals", "name"))
    )
    shards = rows["draw_shard"]
    assert (shards["jobs"], shards["actual"]["jobs"]) == (4, 1)
    assert shards["actual"]["value"] == 20 / 3600
    assert shards["actual"]["estimate"] == pytest.approx(shards["hours"] / 4)
    judge = [totals[f"judge {name}"]["actual"]["value"] for name in ("cases", "calls", "tokens", "cost")]
    assert judge == [1, 1, 310, pytest.approx((300 * 0.15 + 10 * 0.6) / 1e6)]
    assert plan["assumptions"]["judge_calls"]["value"] == 1.02


def test_a_wrong_configuration_or_file_is_exit_code_1(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    (tmp_path / "typo.yaml").write_text("plan: {draw_second: {value: 1.0}}\n")
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "profile.yaml").write_text("nonsense: 1\n")
    for arguments, message in (
        (("--configfile", str(tmp_path / "typo.yaml")), "'plan.draw_second': did you mean 'draw_seconds'?"),
        (
            ("--configfile", str(tmp_path / "empty.yaml")),
            "empty.yaml: keys with values are asked for; found nothing",
        ),
        (("--configfile", "presets/papre.yaml"), "found no file presets/papre.yaml"),
        (("--workflow-profile", str(tmp_path)), "unrecognized arguments: --nonsense"),
        (("--", "nonsense"), "No rule to produce nonsense"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["plan", *arguments])
        output = capfd.readouterr()
        assert stopped.value.code == 1 and output.out == "" and message in output.err, arguments
