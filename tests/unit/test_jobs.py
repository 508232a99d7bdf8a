"""What jobs ask of a machine or a cluster: what grows with each attempt, threads, and the partition with a network."""

from __future__ import annotations

from typing import Any

import pytest

from mmunlearn.workflow.jobs import Jobs
from mmunlearn.workflow.params import Params
from tests.unit.test_check import CONFIG, changed
from tests.unit.test_config_schema import merged

JOB = {"mem_mb": 96000, "runtime": 720, "gpu": 2}
OPENAI = {"curation": {"backend": "openai"}, "evaluation": {"judge": "openai"}}


def attempts(asked: dict[str, Any], name: str) -> list[int]:
    return [asked[name](None, attempt=attempt) for attempt in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["drawing", "training", "answering"])
def test_each_attempt_asks_for_more_memory_and_time_and_for_the_same_gpus(kind):
    jobs = Jobs(merged({"images": {"job": JOB}, "training": {"job": JOB}}))
    asked = getattr(jobs, kind)
    assert attempts(asked, "mem_mb") == [96000, 192000, 288000]
    assert attempts(asked, "runtime") == [720, 1440, 2160]
    gpus = {name: asked.get(name) for name in ("gpu", "nodes")}
    assert gpus == ({"gpu": 1, "nodes": None} if kind == "answering" else {"gpu": 2, "nodes": 1})


@pytest.mark.parametrize(("most", "asked"), [(250000, [96000, 192000, 250000]), (90000, [96000] * 3)])
def test_the_cluster_bounds_what_later_attempts_ask_for_and_never_the_first(most, asked):
    jobs = Jobs(merged({"training": {"job": JOB}, "cluster": {"max_mem_mb": most, "max_runtime": 1000}}))
    assert attempts(jobs.training, "mem_mb") == asked
    assert attempts(jobs.training, "runtime") == [720, 1000, 1000]


def test_jobs_that_need_a_network_run_beside_snakemake_or_on_the_partition_that_has_one():
    kinds = ("curating", "judging", "fetching")

    def of(overlay):
        jobs = Jobs(merged(overlay))
        asked = {kind: getattr(jobs, kind) for kind in kinds}
        return [kind for kind in kinds if not jobs.here(asked[kind])], asked

    elsewhere, asked = of(OPENAI)
    assert elsewhere == [] and not [one for one in asked.values() if "slurm_partition" in one]
    assert attempts(asked["judging"], "runtime") == attempts(asked["curating"], "runtime") == [240, 480, 720]
    assert attempts(asked["fetching"], "mem_mb") == [8000, 16000, 24000]
    named = {"cluster": {"network_partition": "login,transfer"}}
    elsewhere, asked = of(OPENAI | named)
    assert elsewhere == list(kinds)
    assert {one["slurm_partition"] for one in asked.values()} == {"login,transfer"}
    assert asked["judging"]["judge"] == 1, "one paid judge at a time, there too"
    assert of(named)[0] == ["fetching"], "what asks no endpoint is light"


@pytest.mark.parametrize("batch", [False, True])
def test_a_judging_job_has_minutes_enough_for_a_batch_of_a_day(batch):
    overlay = {"evaluation": {"judge": "openai", "openai": {"batch_api": batch}}}
    assert attempts(Jobs(merged(overlay)).judging, "runtime")[0] == (1560 if batch else 240)


def test_threads_are_what_a_job_uses():
    def threads(config):
        return [getattr(Jobs(config), f"{name}_threads") for name in ("training", "answering", "drawing")]

    assert threads(CONFIG) == [1, 1, 1], "two jobs of the pocket scale run on two cores"
    paper = changed("training", CONFIG["training"] | {"processes": 2, "workers": 4, "job": JOB})
    assert threads(paper) == [10, 2, 1]
    assert threads(changed("images.job.gpu", 1)) == [1, 1, 2]


def test_what_a_cluster_is_told_makes_nothing_again():
    told = {"cluster": {"network_partition": "transfer", "max_mem_mb": 250000, "max_runtime": 1000}}
    first, second = (Params(merged(overlay)) for overlay in ({}, told))
    assert (first.recorded, first.report) == (second.recorded, second.report)
    assert first.recorded_with_lifelong == second.recorded_with_lifelong
