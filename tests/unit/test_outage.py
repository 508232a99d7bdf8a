"""Jobs of a check that Slurm's controller has not answered."""

from __future__ import annotations

import asyncio
import logging
import os
import tomllib
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from mmunlearn.workflow.outage import outlive_outages
from tests.copies import ROOT


class Limiter(nullcontext):
    """Of the rate of queries: none."""


def executor(**settings) -> SimpleNamespace:
    """What a check of the plugin looks at."""
    return SimpleNamespace(
        workflow=SimpleNamespace(executor_settings=SimpleNamespace(status_attempts=2, **settings)),
        logger=logging.getLogger("outage"),
        get_status_command=lambda: "squeue",
        run_uuid="run",
        status_rate_limiter=Limiter(),
        next_seconds_between_status_checks=10,
        report_job_success=lambda job: None,
        _status_query_calls=0,
        _status_query_failures=0,
        _status_query_total_seconds=0.0,
        _status_query_min_seconds=None,
        _status_query_max_seconds=0.0,
        _status_query_cycle_rows=[],
    )


def check(asked: SimpleNamespace, jobs: list) -> list:
    from snakemake_executor_plugin_slurm import Executor

    async def active() -> list:
        return [job async for job in Executor.check_active_jobs(asked, jobs)]

    return asyncio.run(active())


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Writes Slurm's commands."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the slurm extra is not installed")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def write(body: str) -> None:
        for name in ("squeue", "sacct", "scontrol"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)

    return write


def test_jobs_of_a_check_without_an_answer_are_asked_for_again(commands, caplog):
    commands("echo 'Unable to contact slurm controller' >&2; exit 1")
    outlive_outages()
    outlive_outages()
    jobs = [SimpleNamespace(external_jobid=str(number), aux={}) for number in (7, 8)]
    asked = executor(keep_successful_logs=True)
    assert check(asked, jobs) == jobs
    assert asked._status_query_failures == 2
    assert "asked for 2 jobs and did not answer" in caplog.text


def test_a_finished_job_is_not_asked_for_again(commands):
    commands("echo '7|COMPLETED'; echo '8|RUNNING'")
    outlive_outages()
    done, runs = (SimpleNamespace(external_jobid=str(number), aux={}) for number in (7, 8))
    assert check(executor(keep_successful_logs=True), [done, runs]) == [runs]
    commands("echo '7|COMPLETED'")
    assert check(executor(keep_successful_logs=True), [done]) == []


def test_only_the_release_whose_counter_is_read_may_be_installed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    (plugin,) = map(Requirement, extras["slurm"])
    assert [release for release in ("2.7.1", "2.8.0", "2.8.3", "2.9.0") if release in plugin.specifier] == [
        "2.8.0",
        "2.8.3",
    ]
