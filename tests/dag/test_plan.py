"""What would run: jobs per rule for every preset, refused typos, nothing heavy while parsing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DEFAULT = {
    "accept_texts": 1,
    "all": 1,
    "answer_questions": 15,
    "build_questions": 1,
    "build_reference_set": 3,
    "check_images": 1,
    "compare_filters": 1,
    "curate_events": 1,
    "curate_people": 1,
    "draw_references": 1,
    "draw_shard": 4,
    "encode_images": 4,
    "judge_answers": 8,
    "make_table3": 1,
    "merge_manifest": 1,
    "plot_figure4": 1,
    "plot_figure8": 1,
    "score_answers": 16,
    "settle_pictures": 1,
    "split_concepts": 2,
    "train_finetuned": 1,
    "train_goal": 4,
    "train_traced": 10,
    "write_prompts": 1,
    "write_report": 1,
    "write_run_config": 1,
    "write_truth": 1,
}
FULL = DEFAULT | {
    "answer_questions": 3 * (1 + 6 * 6) + 6,
    "judge_answers": 3 * (3 + 3 * 6) + 3,
    "score_answers": 3 * 6 * 7 + 6,
    "split_concepts": 6,
    "train_finetuned": 3,
    "train_goal": 3 * 6 + 6,
    "train_traced": 2 * 5,  # the percent and the seed of Figure 7
    "train_unlearned": 3 * 6 * 5 - 2 * 5,
}
SEEDS = DEFAULT | {
    "answer_questions": 3 * 13 + 2,
    "judge_answers": 3 * 7 + 1,
    "score_answers": 3 * 14 + 2,
    "train_finetuned": 3,
    "train_goal": 3 * 2 + 2,
    "train_unlearned": 2 * 10,
}
PAPER = {rule: count for rule, count in DEFAULT.items() if rule != "write_truth"} | {
    "answer_concepts": 2,  # 10 people and 2 events of Figure 9 each
    "answer_questions": 2 * (1 + 6 * 6 + 6 + 6),
    "answer_steps": 2 * 2 * 5,  # 5 steps of Figure 7 each
    "draw_shard": 200,
    "encode_images": 2 * 4,
    "fetch_weights": 8,
    "judge_answers": 2 * (3 + 3 * 6 + 3 + 6 + 5 * 5),
    "make_table4": 1,
    **{f"plot_figure{number}": 1 for number in (4, 7, 8, 9, 10)},
    "score_answers": 2 * (6 * 7 + 6 + 2 * 6 + 2 * 5 * 5),
    "score_sampled": 2 * 2 * 2,  # finetuned and goal, beside the steps
    "split_concepts": 6,
    "train_concept": 2 * 12,
    "train_finetuned": 2,
    "train_goal": 2 * (6 + 6 + 2),
    "train_traced": 2 * 2 * 5,
    "train_unlearned": 2 * (4 * 5 + 4),
}
ATTACKED = {  # of the default configuration: 2 targets x (finetuned, goal, 5 methods)
    "attack_model": 14,
    "answer_questions": 3,  # finetuned and both goals, which events are judged between
    "draw_unseen": 2,
    "encode_unseen": 2,
    "make_robustness": 1,
    "plot_robustness": 1,
    "train_goal": 2,
    "train_traced": 10,
}
PRESETS = {
    "presets/paper.yaml": PAPER,
    "presets/pocket-full.yaml": FULL,
    "presets/pocket-seeds.yaml": SEEDS,
}


def jobs(table: dict[str, int]) -> dict[str, int]:
    return {rule: count for rule, count in table.items() if rule not in ("total", "job")}


def test_the_default_run_plans_these_jobs(planned):
    assert jobs(planned()) == DEFAULT


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_plans_these_jobs(planned, preset):
    assert jobs(planned("--configfile", preset)) == PRESETS[preset]


def test_robustness_plans_these_jobs_when_asked_and_by_one_key(planned, tmp_path):
    alone = jobs(planned("robustness"))
    assert {rule: alone.get(rule) for rule in ATTACKED} == ATTACKED
    assert not {"make_table3", "score_answers", "judge_answers"} & set(alone)
    overlay = tmp_path / "robust.yaml"
    overlay.write_text("outputs: [table3, robustness]\n")
    own = {rule: count for rule, count in ATTACKED.items() if rule not in DEFAULT}
    assert jobs(planned("--configfile", str(overlay))) == DEFAULT | own


def test_every_preset_is_pinned():
    assert {f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml")} == set(PRESETS)


@pytest.mark.parametrize(
    ("target", "last"),
    [("curate", "write_prompts"), ("draw", "check_images"), ("dataset", "split_concepts"),
     ("train", "train_traced"), ("evaluate", "score_answers"), ("pocket_models", "calibrate_scorers"),
     ("review", "review_page"), ("export", "export_dataset"), ("table4", "train_unlearned"),
     ("figures", "train_concept"), ("robustness", "plot_robustness")],
)  # fmt: skip
def test_milestones(planned, target, last):
    assert last in planned(target)


def test_a_typo_is_refused_with_the_nearest_key(snakemake, tmp_path):
    overlay = tmp_path / "typo.yaml"
    overlay.write_text("training: {finetune: {learnin_rate: 1.0e-3}}\nmethods: {npoo: {max_steps: 3}}\n")
    done = snakemake("-n", "--configfile", str(overlay))
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "unknown key 'training.finetune.learnin_rate': did you mean 'learning_rate'?" in said
    assert "npoo" in said


def test_parsing_imports_nothing_heavy(workflow):
    """The modules that the Snakefile imports leave torch, pandas, numpy and transformers alone."""
    code = (
        "import sys; from mmunlearn import config, workflow; import yaml;"
        "own = yaml.safe_load(open('config.yaml')); config.prepare(own); config.check(own);"
        "heavy = {'torch', 'pandas', 'numpy', 'transformers', 'pyarrow', 'PIL', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=workflow, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_rule_files_import_only_config_and_workflow():
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        imports = [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
        allowed = (
            "from mmunlearn import config",
            "from mmunlearn import recipes, samples",
            "from mmunlearn.workflow import",
            "from snakemake.utils import",
        )
        assert all(line.startswith(allowed) for line in imports), f"{path.name}: {imports}"


def test_the_slurm_profile_parses(snakemake):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the slurm extra is not installed")
    done = snakemake("-n", "--workflow-profile", "profiles/slurm")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_paper_is_planned_on_a_machine_that_could_not_run_it(workflow, tmp_path):
    """Neither a plan nor a cluster's submit node needs a tensor library, weights, a GPU or the real sets."""
    for name in (
        "torch",
        "transformers",
        "diffusers",
        "pandas",
        "open_clip",
        "pyiqa",
        "facenet_pytorch",
        "openai",
    ):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "2", "--configfile", "presets/paper.yaml"],
        cwd=workflow, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "draw_shard               200" in done.stdout + done.stderr
