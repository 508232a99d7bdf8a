"""The small run through a real Slurm, and all that happens on a cluster on its way: nothing is lost, nothing is made
otherwise than by a run that nothing disturbs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.copies import copy_workflow
from tests.slurm.cluster import Cluster, Job, scripts
from tests.small import SMALL, Run, outputs, small_run

pytestmark = pytest.mark.slurm
OPTIONS = ("--workflow-profile", "profiles/slurm")
HEAVY = {"build_reference_set", "draw_references", "draw_shard", "settle_pictures", "merge_manifest"}
HEAVY |= {"encode_images", "train_finetuned", "train_goal", "train_unlearned", "answer_questions"}
WAITS = "waiting for it, to take what it has finished"
LITTLE = SMALL["images"] | {"job": {"gpu": 0, "mem_mb": 500}}
"""Too little memory for drawing at the first attempt, enough at the second."""


@dataclass
class Story:
    """The run, what Slurm said of each job that was struck, and what Snakemake printed."""

    run: Run
    cluster: Cluster
    struck: dict[str, Job] = field(default_factory=dict)
    printed: str = ""

    def begin(self) -> None:
        self.process = self.run.start()

    def until(self, ready: Callable[[], object]) -> Any:
        """Wait until `ready` gives something, and give it."""
        last: list[object] = [None]

        def look() -> bool:
            last[0] = ready()
            return bool(last[0])

        self.run.wait_until(look, self.process)
        return last[0]

    def logs(self, rule: str, number: str = "*") -> str:
        """What the jobs of a rule have printed, or one of them."""
        folder = self.run.folder / "logs" / "slurm" / f"rule_{rule}"
        return "".join(path.read_text() for path in folder.rglob(f"{number}.log"))

    def claims(self, job: Job) -> bool:
        """Whether a job has a claim on its outputs."""
        found = (self.run.folder / "work" / "claims").glob("*.json")
        with suppress(OSError):  # one that is let go meanwhile, or being made
            return any(f'"slurm_job": "{job.number}"' in path.read_text() for path in found)
        return False

    def submitted(self, rule: str) -> int:
        """Jobs of a rule that Slurm has been given, further attempts not counted."""
        return len({job.name for job in self.cluster.jobs() if job.rule == rule})

    def hold(self, name: str, count: int = 1) -> list[Job]:
        """So many jobs of a name at work, and their scripts stopped: whatever strikes, strikes before they end."""
        jobs: dict[str, Job] = {}

        def look() -> bool:
            for job in self.cluster.working(name):
                if job.number not in jobs and len(jobs) < count:
                    suspend(job)
                    jobs[job.number] = job
            return len(jobs) == count

        self.until(look)
        return list(jobs.values())

    def strike(self, fault: str, job: Job, *command: str, by: Callable[[Job], bool] | None = None) -> None:
        """Do something to a job, and wait until Slurm says that it has happened: that the job starts again, or `by`."""
        if command:
            self.cluster.ask(*command)
        is_struck = by or (lambda now: now.restarts > job.restarts)
        self.until(lambda: is_struck(self.cluster.job(job.number)))
        self.struck[fault] = self.cluster.job(job.number)


def suspend(job: Job) -> None:
    for script in scripts(job):
        script.suspend()


def resume(job: Job) -> None:
    for script in scripts(job):
        script.resume()


@pytest.fixture(scope="session")
def story(cluster, tmp_path_factory) -> Story:
    """In four phases of the run. What is held is let go again, or was killed."""
    run = Run(copy_workflow(tmp_path_factory.mktemp("slurm") / "run"), SMALL | {"images": LITTLE}, OPTIONS)
    story = Story(run, cluster)
    story.begin()
    try:
        for phase in (encoding, training, unlearning, answering):
            phase(story)
        story.printed = run.end(story.process)
    finally:
        if story.process.poll() is None:
            os.killpg(story.process.pid, signal.SIGKILL)
    return story


def encoding(story: Story) -> None:
    """One job is requeued, the node of another is drained."""
    first, second = story.hold("encode_images", 2)
    story.strike("requeue", first, "scontrol", "requeue", first.number)
    drain = ("scontrol", "update", f"NodeName={second.node}", "State=DRAIN", "Reason=tests")
    story.strike("drain", second, *drain, by=lambda job: story.cluster.node(job.node).startswith("drain"))
    resume(second)


def training(story: Story) -> None:
    """Snakemake is killed, its successor submits what still trains."""
    drained = story.struck["drain"].node
    (story.old,) = (old,) = story.hold("train_goal")
    resume(old)
    story.until(lambda: story.claims(old))
    suspend(old)
    assert old.node != drained
    story.cluster.ask("scontrol", "update", f"NodeName={drained}", "State=RESUME")
    os.killpg(story.process.pid, signal.SIGKILL)
    story.process.wait()
    story.run("--unlock")
    story.begin()
    same = story.until(lambda: [job for job in story.cluster.working(old.name) if job.number != old.number])
    story.struck["kill -9"] = same[0]
    story.until(lambda: WAITS in story.logs(old.rule, same[0].number))
    resume(old)


def unlearning(story: Story) -> None:
    """Of four jobs on two nodes, one is cancelled, one is at the end of its time, two make way for an urgent job."""
    first, second, third, fourth = sorted(story.hold("train_unlearned", 4), key=lambda job: job.node)
    assert first.node == second.node != third.node == fourth.node
    urgent = ("--partition", "urgent", "--nodelist", third.node, "--exclusive", "--output", "/dev/null")
    story.strike("preemption", third, "sbatch", *urgent, "--wrap", "sleep 1")
    now = ("scontrol", "update", f"JobId={second.number}", "EndTime=now")
    story.cluster.ask(*now)
    story.strike("scancel", first, "scancel", first.number, by=lambda job: job.state == "CANCELLED")
    story.strike("time limit", second, by=lambda job: job.state == "TIMEOUT")


def answering(story: Story) -> None:
    """A node loses its daemon, and the job on it runs on beside the one that Slurm starts in its place; then the
    controller is silent for longer than Snakemake asks, when there is nothing left to submit and one is held."""
    lost, other, last = sorted(story.hold("answer_questions", 3), key=lambda job: job.node)
    assert lost.node != last.node, "a node has two processors"
    resume(other)
    story.cluster.kill_node(lost.node)
    story.strike("slurmd", lost)
    resume(lost)
    story.cluster.start_node(lost.node)
    story.until(lambda: story.submitted("answer_questions") == 7)
    story.cluster.stop_controller()
    story.until(lambda: "did not answer" in story.run.log.read_text())
    story.cluster.start_controller()
    resume(last)


def test_nothing_is_lost_and_nothing_differs(story, tmp_path_factory):
    assert outputs(story.run) == outputs(small_run(tmp_path_factory))


def test_what_slurm_ends_is_submitted_again(story):
    """After scancel, a time limit and too little memory, by attempts that ask for more."""
    assert story.struck["scancel"].state == "CANCELLED" and story.struck["time limit"].state == "TIMEOUT"
    assert "exceeded memory limit" in story.logs("draw_references")
    for fault in ("scancel", "time limit"):
        _, again = [job for job in story.cluster.jobs() if job.name == story.struck[fault].name]
        assert (again.state, again.limit) == ("COMPLETED", "02:00:00"), "twice the minutes of the first"


def test_what_slurm_starts_again_is_followed(story):
    """After a requeue, a preemption and the loss of a node's daemon, by the same number; a drained node's jobs stay."""
    for fault in ("requeue", "preemption", "slurmd"):
        job = story.cluster.job(story.struck[fault].number)
        assert job.state == "COMPLETED" and job.restarts > 0, fault
    assert story.struck["drain"].restarts == 0


def test_a_killed_snakemake_is_followed_by_one_whose_jobs_wait_for_its(story):
    again = story.struck["kill -9"]
    assert WAITS in story.logs(again.rule, again.number)
    assert f"Slurm job {story.old.number}" in story.logs(again.rule, again.number)


def test_while_the_controller_is_silent_no_job_is_forgotten(story):
    assert re.search(r"asked for \d+ jobs and did not answer", story.printed)


def test_light_jobs_run_beside_snakemake(story):
    assert {job.rule for job in story.cluster.jobs() if job.rule} == HEAVY


def test_nothing_is_left_to_do(story):
    assert "Nothing to be done" in story.run()
    assert not list((story.run.folder / "work" / "claims").glob("*"))
