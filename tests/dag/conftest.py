"""Plans of the shipped workflow in an empty folder, in this process; and a copy of it for what needs its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from mmunlearn.workflow.plan import plan_jobs
from tests.copies import ROOT, copy_workflow
from tests.rules.standin import Rules, _own_signals


def finish(folder: Path, targets: Iterable[str], overlays: Iterable[str] = ()) -> list[str]:
    """Let Snakemake take all jobs of some targets for done, in empty files; gives the rules that had to run."""
    needed = Rules.needed(folder, targets, overlays)
    for _, given in needed:
        output = given["output"]
        for name in output.values() if isinstance(output, dict) else [output]:
            for path in [name] if isinstance(name, str) else name:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).touch()
    with _own_signals(), SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), ConfigSettings(configfiles=[folder / path for path in overlays]),
            snakefile=ROOT / "Snakefile", workdir=folder,
        )  # fmt: skip
        workflow.dag(DAGSettings(targets=set(targets))).execute_workflow(executor="dryrun")
        workflow = workflow._workflow
        for job in filter(lambda job: job.output, workflow.dag.jobs):
            workflow.async_run(workflow.persistence.finished(job))
    for path in folder.joinpath("results").rglob("*"):
        os.utime(path, (1e9, 1e9))
    return [rule for rule, _ in needed]


def to_run_again(targets: Iterable[str], overlays: Iterable[str] = ()) -> Counter:
    """Rule -> jobs that would run in this folder for some targets, by times, params, code and sets of inputs."""
    files = [part for path in overlays for part in ("--configfile", path)]
    planned = plan_jobs(["--dry-run", "--snakefile", str(ROOT / "Snakefile"), *files, "--", *targets])
    assert planned is not None
    return Counter(job.rule for job in planned[1] if job.to_run and not job.target)


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Counter]:
    """Jobs by rule that would run for some targets with some overlays; each plan is made once."""
    folder = tmp_path_factory.mktemp("planned")
    for name in ("config.yaml", "presets", "resources"):
        (folder / name).symlink_to(ROOT / name)

    @cache
    def count(*targets: str, overlays: tuple[str, ...] = ()) -> Counter:
        return Counter(name for name, _ in Rules.needed(folder, targets, overlays))

    return count


@pytest.fixture(scope="session")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("workflow") / "copy")


@pytest.fixture(scope="session")
def snakemake(workflow: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run Snakemake in the copy; nothing of the surrounding environment decides the configuration."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=workflow, env=inherited | environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run
