"""What jobs ask of a machine or a cluster: memory, minutes, GPUs, threads, and a partition that has a network.

Imported by the Snakefile: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Asked = dict[str, Any]

GROWING = ("mem_mb", "runtime")
"""Attempt n asks for n times as much of these: too little may be why the one before has failed. So do rules that name
neither, by `default-resources` of profiles/slurm, which no key of the configuration bounds."""


class Jobs:
    """Resources of rules, by what their jobs do, of a checked configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    @property
    def drawing(self) -> Asked:
        """Of a job that draws or retrieves pictures."""
        return self._growing(self._config["images"]["job"])

    @property
    def training(self) -> Asked:
        """Of a training."""
        return self._growing(self._config["training"]["job"])

    @property
    def answering(self) -> Asked:
        """Of a job that answers or encodes: one GPU at most."""
        job = self._config["training"]["job"]
        return self._growing(job | {"gpu": min(1, job["gpu"])})

    @property
    def judging(self) -> Asked:
        """Of a judging job: profiles let one job with `judge: 1` run at a time, as one file keeps the verdicts; minutes
        enough for the calls, or for a batch of 24 hours."""
        evaluation = self._config["evaluation"]
        if evaluation["judge"] == "local":
            return {"judge": 0}
        return {"judge": 1, **self._online(runtime=1560 if evaluation["openai"]["batch_api"] else 240)}

    @property
    def curating(self) -> Asked:
        """Of a job that writes people or events."""
        return self._online(runtime=240) if self._config["curation"]["backend"] == "openai" else {}

    @property
    def fetching(self) -> Asked:
        """Of a job that fetches weights, or looks at those that are there."""
        return self._online(mem_mb=8000, runtime=720)

    @staticmethod
    def here(asked: Asked) -> bool:
        """Whether such jobs run beside Snakemake on a cluster, too: they name no partition that has a network."""
        return "slurm_partition" not in asked

    def _online(self, **asked: int) -> Asked:
        partition = self._config["cluster"]["network_partition"]
        return self._growing(asked) | ({"slurm_partition": partition} if partition else {})

    def _growing(self, asked: Mapping[str, int]) -> Asked:
        most = {name: self._config["cluster"][f"max_{name}"] for name in GROWING}
        placed = {"nodes": 1} if asked.get("gpu", 0) > 1 else {}  # all GPUs of a job are in one machine
        grown = {name: growing(asked[name], most[name]) for name in GROWING if name in asked}
        return {**asked, **grown, **placed}

    # `threads`; those that read are left out where torch computes on the CPU, see `job`

    @property
    def training_threads(self) -> int:
        """Of a training: its processes, and those that read for each."""
        training = self._config["training"]
        return training["processes"] * (1 + training["workers"])

    @property
    def answering_threads(self) -> int:
        """Of an answering or encoding job: what feeds a GPU has a thread beside it, to read and lay out."""
        return 1 + self.answering["gpu"]

    @property
    def drawing_threads(self) -> int:
        """Likewise of a job that draws or retrieves pictures."""
        return 1 + min(1, self.drawing["gpu"])


def growing(value: int, most: int | None) -> Callable[..., int]:
    """A resource of which each attempt of a job gets more, `most` at most; the first gets `value`."""
    return lambda wildcards, attempt: max(value, min(value * attempt, most or value * attempt))
