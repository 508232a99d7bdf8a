"""Slurm's controller may be silent for a while: Snakemake goes on asking for its jobs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from functools import wraps
from typing import Any


def outlive_outages() -> None:
    """Keep the jobs of a check that nobody has answered.

    Of snakemake-executor-plugin-slurm 2.8 a check asks `slurm-status-attempts` times (by sacct where the controller
    does not tell its MinJobAge) and then drops all jobs without a word: the run waits for good. Here they stay, and the
    next check asks again, as the profile says. Whether anybody answered is told by a counter of its own that no release
    promises: pyproject.toml allows 2.8 alone.
    """
    plugin = sys.modules.get("snakemake_executor_plugin_slurm")
    if plugin is None or hasattr(plugin.Executor.check_active_jobs, "__wrapped__"):
        return
    check = plugin.Executor.check_active_jobs

    @wraps(check)
    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        answers = self._status_query_calls
        async for job in check(self, active_jobs):
            yield job
        if active_jobs and self._status_query_calls == answers:
            self.logger.warning(
                f"Slurm was asked for {len(active_jobs)} jobs and did not answer. They may run on: asking again in "
                f"{self.next_seconds_between_status_checks} s. A job that is to be submitted meanwhile fails."
            )
            for job in active_jobs:
                yield job

    plugin.Executor.check_active_jobs = check_active_jobs
