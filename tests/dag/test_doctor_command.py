"""`mmunlearn doctor` by the real command and the real rules: what a preset lacks here, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

import pytest

from mmunlearn.workflow.doctor import ASKING, DRAWING, PlannedRun
from mmunlearn.workflow.gpu import gpu_needs
from mmunlearn.workflow.plan import plan_jobs
from tests.copies import ROOT
from tests.dag.test_plan_command import HEAVY

SECRET = "sk-0123456789abcdefghij"


@pytest.fixture
def doctor(workflow: Path, tmp_path: Path):
    """The command on a machine without any heavy library, with one small GPU, a key and no token."""
    (tmp_path / "bin").mkdir()
    copyfile(ROOT / "pyproject.toml", workflow / "pyproject.toml")
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n[ $1 = -L ] && echo 'GPU 0: NVIDIA L4 (UUID: GPU-a)' || echo 'GPU-a, NVIDIA L4, 23034'\n"
    )
    program.chmod(0o755)
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    known = {
        "PYTHONPATH": str(tmp_path),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "OPENAI_API_KEY": SECRET,
    }
    known["HF_HOME"] = str(tmp_path)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING_", "CUDA_"))
    }

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mmunlearn", "doctor", *arguments],
            cwd=workflow, env=inherited | known, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


def test_the_default_run_lacks_nothing(doctor, workflow):
    done = doctor("--json")
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0 and done.stderr == ""
    assert all(set(row) == {"what", "status", "found", "todo"} for row in rows.values())
    assert rows["run"]["status"] == "note" and {row["status"] for row in rows.values()} == {"note", "ok"}
    assert rows["gpu"]["found"] == "no job asks for one"
    (workflow / "pyproject.toml").unlink()
    done = doctor()
    assert done.returncode == 0 and "unknown  packages" in done.stdout, "a copy without it"


def test_the_paper_lacks_a_line_each_here(doctor):
    done = doctor("--configfile", "presets/paper.yaml")
    lines = {line[9:].partition("  ")[0]: line for line in done.stdout.splitlines() if line[9:]}
    assert done.returncode == 1 and done.stderr == "" and SECRET not in done.stdout
    status = {what: line.split()[0] for what, line in lines.items()}
    assert status["gpu"] == status["key: evaluation.openai"] == "ok"
    for what in ("gpu memory: FLUX", "gpu memory: llava-1.5-7b", "gate: black-forest-labs/FLUX.1-dev",
                 "gate: meta-llama/Llama-3.2-11B-Vision-Instruct", "data: dataset.files.coco"):  # fmt: skip
        assert status[what] == "missing" and " -> " in lines[what], what
    assert status["weights: flux-dev"] == "note" and "fetches about 33.7 GB" in lines["weights: flux-dev"]
    assert "NVIDIA L4 (24.2 GB)" in lines["gpu"]
    assert "disk: results, work, weights" in lines
    assert done.stdout.splitlines()[-1].endswith("are missing.")
    part = doctor("--configfile", "presets/paper.yaml", "--json", "--", "curate")
    assert part.returncode == 0
    assert [row["what"] for row in json.loads(part.stdout)] == [
        "run",
        "python",
        "packages",
        "gpu",
        "data",
    ]


def test_a_wrong_configuration_is_exit_code_1(doctor, tmp_path):
    (tmp_path / "typo.yaml").write_text("plan: {draw_second: {value: 1.0}}\n")
    done = doctor("--configfile", str(tmp_path / "typo.yaml"))
    assert done.returncode == 1 and done.stdout == ""
    assert "'plan.draw_second': did you mean 'draw_seconds'?" in done.stderr
    done = doctor("--configfile", "presets/paper.yaml", "table4")
    assert done.returncode == 1 and "a plan" not in done.stderr and "put -- before the targets" in done.stderr


def test_a_profile_whose_executor_is_not_installed_is_a_missing_package(doctor):
    done = doctor("--workflow-profile", "profiles/slurm")
    if "no snakemake-executor" in done.stdout:  # or it is installed
        assert done.returncode == 1 and done.stderr == ""
        assert "no snakemake-executor-plugin-slurm -> .venv/bin/pip install" in done.stdout
    assert "scale pocket: 81 jobs to run" in done.stdout, "as the plan counts them"


@pytest.mark.parametrize("preset", ["paper", "mlubench"])
def test_every_model_of_a_preset_trains_and_answers_by_what_its_rules_say(tmp_path, monkeypatch, preset):
    """The rules that doctor knows by name are rules; what it reads of their params is there."""
    for name in ("config.yaml", "presets", "resources"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", f"presets/{preset}.yaml"]
    config, jobs = plan_jobs(["--dry-run", *files])
    run = PlannedRun(config, jobs)
    needs = {need.what: need for need in gpu_needs(config, [job for job in run.left if job.gpus])}
    assert set(needs) == {*config["models"], *(["FLUX"] if preset == "paper" else [])}
    for name in config["models"]:
        assert " GB to train (" in needs[name].found and " GB to answer (" in needs[name].found
    assert all(0 < need.bytes < 85.9e9 for need in needs.values()), "the presets are for cards of 80 GB"
    known = DRAWING | frozenset().union(*ASKING.values()) | {"build_reference_set", "fetch_weights"}
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert all(f"rule {rule}:" in text or f" as {rule} with:" in text for rule in known)
