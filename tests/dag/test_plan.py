"""What would run: trainings, drawings and judgings of every preset, refused typos, nothing heavy while parsing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.copies import ROOT, copy_workflow
from tests.dag.test_plan_command import HEAVY, OF_PLUGINS
from tests.rules.standin import Rules
from tests.unit.file_sets import write_collection

COSTLY = (
    "draw_shard",
    "train_finetuned",
    "train_goal",
    "train_unlearned",
    "trace_unlearned",
    "judge_answers",
    "attack_model",
    "unlearn_tasks",
    "train_experts",
    "judge_stages",
)
PAPER = {
    "draw_shard": 200,
    "train_finetuned": 2,
    "train_goal": 2 * (6 + 3 + 2),  # Table IV has its own and its ceiling
    "train_unlearned": 2 * (6 * 5 + 4 + 12),  # Table III, Table IV, the concepts of Figure 9
    "trace_unlearned": 2 * 2 * 5,
    "judge_answers": 2 * (3 + 3 * 6 + 3 + 6 + 5 * 5 + 2),  # two events that Figure 9 unlearns alone
}
ONE = {"draw_shard": 4, "train_finetuned": 1, "train_goal": 3, "train_unlearned": 10, "judge_answers": 8}
PRESETS = {
    (): ONE,
    ("presets/pocket-seeds.yaml",): ONE
    | {"train_finetuned": 3, "train_goal": 3 * 2 + 1, "train_unlearned": 3 * 10, "judge_answers": 3 * 7 + 1},
    ("presets/pocket-full.yaml",): ONE
    | {
        "train_finetuned": 3,
        "train_goal": 3 * 6 + 3,
        "train_unlearned": 3 * 6 * 5,
        "judge_answers": 3 * (3 + 3 * 6) + 3,
    },
    ("presets/paper.yaml",): PAPER,
    ("presets/paper-official.yaml",): PAPER | {"draw_shard": 10},
    ("presets/paper-first.yaml",): {
        "draw_shard": 200,
        "train_finetuned": 1,
        "train_goal": 3,
        "train_unlearned": 10,
        "judge_answers": 8,
    },
    # five methods and five rows of experts, each judged by two rubrics
    ("presets/mlubench.yaml",): {"unlearn_tasks": 3 * 5, "train_experts": 3, "judge_stages": 3 * 10 * 2},
    ("presets/lifelong-20.yaml",): {"unlearn_tasks": 5, "train_experts": 1, "judge_stages": 10 * 2},
    ("presets/lifelong-orders.yaml",): {
        "unlearn_tasks": 3 * 5,
        "train_experts": 1,
        "judge_stages": 3 * 10 * 2,
    },
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_plans_its_trainings_drawings_and_judgings(planned, preset):
    jobs = planned(overlays=preset)
    assert {rule: jobs[rule] for rule in COSTLY if jobs[rule]} == PRESETS[preset]


def test_a_model_that_keeps_no_features_is_given_lists_of_pictures(tmp_path):
    for name in ("config.yaml", "resources"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "none.yaml").write_text("models: {pocket-llava: {cache_features: false}}")
    jobs = Rules.needed(tmp_path, ("all", "table4", "figures", "lifelong", "robustness"), ["none.yaml"])
    assert not [rule for rule, _ in jobs if rule.startswith("encode_")]
    given = {rule: job["input"]["features"] for rule, job in jobs if "features" in job["input"]}
    dataset, real, world, replay, tasks = (
        f"results/pocket/{name}"
        for name in (
            "images/manifest.parquet",
            *(f"dataset/{suite}.jsonl" for suite in ("real", "world", "replay")),
            "lifelong/questions.jsonl",
        )
    )
    training = {"train_finetuned": [dataset, replay], "train_goal": [dataset, replay]}
    unlearning = {key: [dataset] for key in ("train_unlearned", "trace_unlearned")}
    names = ("answer_questions", "answer_steps", "answer_concepts")
    asking = {key: [dataset, real, world] for key in names} | {"attack_model": dataset}
    names = ("unlearn_tasks", "train_experts", "answer_before", "answer_stages", "answer_experts", "ask_gate")
    assert given == training | unlearning | asking | dict.fromkeys((*names, "measure_drift"), tasks)
    unseen = {job["input"]["unseen"] for rule, job in jobs if rule == "attack_model"}
    assert unseen == {f"results/pocket/robustness/unseen/{split}05.parquet" for split in ("person", "event")}


def test_pictures_that_are_there_are_listed_and_need_no_weights_that_draw(planned):
    listed, drawn = (planned(overlays=(f"presets/{name}.yaml",)) for name in ("paper-official", "paper"))
    assert listed["list_pictures"] == 1 and "list_pictures" not in drawn
    assert listed["fetch_weights"] == drawn["fetch_weights"] - 1, "FLUX"


def test_every_preset_is_pinned():
    assert {f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml")} == {
        name for preset in PRESETS for name in preset
    }


@pytest.mark.parametrize(
    ("target", "last"),
    [("curate", "write_prompts"), ("draw", "check_images"), ("pilot", "write_pilot"), ("dataset", "split_concepts"),
     ("train", "train_unlearned"), ("evaluate", "score_answers"), ("pocket_models", "calibrate_scorers"),
     ("review", "review_page"), ("export", "export_dataset"), ("table4", "make_table4"),
     ("figures", "trace_unlearned"), ("robustness", "attack_model"),
     ("lifelong", "write_report")],
)  # fmt: skip
def test_milestones(planned, target, last):
    assert planned(target)[last]


def test_an_output_asked_for_by_its_key_adds_its_own_jobs_alone(planned, tmp_path):
    """Robustness attacks 2 targets x (finetuned, goal, 5 methods); figures and attacks train no table's model anew."""
    default = planned()
    for output, rules in {
        "robustness": {"attack_model": 14},
        "figures": {"trace_unlearned": 10, "answer_steps": 10, "answer_concepts": 1},
    }.items():
        overlay = tmp_path / f"{output}.yaml"
        overlay.write_text(f"outputs: [table3, {output}]\n")
        jobs = planned(overlays=(str(overlay),))
        assert {rule: jobs[rule] for rule in rules} == rules and not set(rules) & set(default)
    assert planned("robustness")["train_unlearned"] == 10
    assert not {"make_table3", "score_answers"} & set(planned("robustness"))


def test_a_typo_is_refused_with_the_nearest_key(snakemake, tmp_path):
    overlay = tmp_path / "typo.yaml"
    overlay.write_text("training: {finetune: {learnin_rate: 1.0e-3}}\nmethods: {npoo: {max_steps: 3}}\n")
    done = snakemake("-n", "--configfile", str(overlay))
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "unknown key 'training.finetune.learnin_rate': did you mean 'learning_rate'?" in text
    assert "npoo" in text
    assert "check.py" not in text and "Traceback" not in text


def test_the_paper_is_planned_on_a_machine_that_could_not_run_it(snakemake, tmp_path):
    """Neither a plan nor a cluster's submit node needs a tensor library, weights, a GPU or the real sets."""
    for name in HEAVY | {"numpy", "pyarrow", "PIL", "pyiqa", "facenet_pytorch"} - OF_PLUGINS:
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    done = snakemake("-n", "--configfile", "presets/paper.yaml", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "draw_shard               200" in done.stdout + done.stderr


def test_data_that_lacks_something_warns_every_run_and_stops_one_that_needs_it(snakemake, workflow, tmp_path):
    """A COCO picture is missing: texts are made, with a warning; a data set, which would draw first, is not begun."""
    home = write_collection(tmp_path / "data")
    next((home / "coco").iterdir()).unlink()
    files = {key: str(home / key) for key in ("people", "events", "pope", "coco")}
    dataset = {"reference_sets": "files", "files": files, "n_real": 4, "n_world": 4, "n_replay": 0}
    overlay = tmp_path / "lacking.yaml"
    overlay.write_text(json.dumps({"scale": "lacking", "dataset": dataset}))
    told = "dataset.files.pope: " + str(home / "pope" / "coco_pope_random.json")
    for options, code in ((["-n", "--", "draw"], 0), (["--", "dataset"], 1), (["--", "curate"], 0)):
        done = snakemake("--configfile", str(overlay), *options)
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        assert f"Before a run that needs it: {told}" in text, options
        assert "its picture COCO_val2014_" in text and "val2014" in text
        assert (workflow / "results/lacking").exists() is (options == ["--", "curate"]), options
    assert not (workflow / "results/lacking/images").exists()


def test_the_slurm_profile_parses(snakemake):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the slurm extra is not installed")
    done = snakemake("-n", "--workflow-profile", "profiles/slurm")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_copied_folder_never_runs_the_library_of_another(tmp_path):
    """`cp -r` of a checkout whose environment holds the first folder's library: its own is the one that runs."""
    for name in ("first", "second"):
        copy_workflow(tmp_path / name)
    module = tmp_path / "second" / "mmunlearn" / "reporting" / "figure4.py"
    module.write_text("raise RuntimeError('the second library')\n")
    environment = tmp_path / "environment"  # what `pip install -e` of the first leaves
    environment.mkdir()
    (environment / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(tmp_path / 'first')!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "snakemake", "--cores", "1", "results/pocket/figures/fig4.png"],
        cwd=tmp_path / "second", env=os.environ | {"PYTHONPATH": str(environment)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0 and "the second library" in done.stdout + done.stderr
    plan = "from mmunlearn.cli import main; main(['plan'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", plan],
        cwd=tmp_path / "second", env=os.environ | {"PYTHONPATH": str(environment)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1 and "set up for that folder" in done.stderr
