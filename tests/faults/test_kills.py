"""A run that is killed, as a whole at eight moments, or told to stop, ends as one that nothing has disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable

import pytest

from tests.copies import copy_workflow
from tests.faults.conftest import scripts, unfinished
from tests.small import SMALL, Run, compared, copy_run, outputs

pytestmark = pytest.mark.pocket
GOAL = "results/small/models/pocket-llava/goal-person10/seed-1/training.json"


def moments(jobs: int, count: int = 8, seed: int = 13) -> list[tuple[int, float]]:
    """When to kill: so many jobs have ended, and so many seconds later."""
    draw = random.Random(seed)
    return [(n, draw.uniform(0, 2)) for n in sorted(draw.sample(range(jobs), count))]


def ended(run: Run, jobs: int, seconds: float) -> Callable[[], bool]:
    """Says whether so many jobs have ended, so many seconds ago."""
    due: list[float] = []

    def ready() -> bool:
        if not due and sum(1 for _ in (run.folder / "benchmarks").rglob("*.tsv")) >= jobs:
            due.append(time.monotonic() + seconds)
        return bool(due) and time.monotonic() >= due[0]

    return ready


def checkpoints(run: Run) -> list:
    return list((run.folder / "work").rglob("checkpoint-*/trainer_state.json"))


def without_goal(small: Run, folder) -> Run:
    """The small run before a training of 12 seconds, and nothing of that one is there."""
    run = copy_run(small, folder)
    shutil.rmtree(run.folder / "work")
    shutil.rmtree((run.folder / GOAL).parent)
    return run


def test_a_run_killed_at_eight_random_moments(small, tmp_path):
    run = Run(copy_workflow(tmp_path / "run"), SMALL)
    for jobs, seconds in moments(40):
        run.kill_when(ended(run, jobs, seconds))
    run()
    assert compared(small, run) == ""
    assert unfinished(run) == []
    assert "Nothing to be done" in run()


def test_a_shard_and_a_training_killed_alone(small, tmp_path):
    """Shards of another size, besides. Pictures that were there are not drawn again."""
    run = without_goal(small, tmp_path / "run")
    shutil.rmtree(run.results / "images")
    run.configure(images=SMALL["images"] | {"people_per_shard": 4})
    draws = run.folder / "work" / "draws"

    process = run.start("draw")
    run.wait_until(lambda: len(list(draws.glob("*/p*/a*.png"))) > 20, process)
    scripts(process, "draw_shard")[0].kill()
    assert "Error in rule draw_shard" in run.end(process, code=1)
    before = {path: path.stat().st_mtime_ns for path in draws.glob("*/p*/a*.png")}
    run("draw")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()), "nothing is drawn twice"

    process = run.start(GOAL)
    run.wait_until(lambda: checkpoints(run) and scripts(process, "train_finetuned"), process)
    scripts(process, "train_finetuned")[0].kill()
    assert "Error in rule train_goal" in run.end(process, code=1)
    assert checkpoints(run) and not (run.folder / GOAL).exists()
    run(GOAL)
    assert outputs(run) == outputs(small)


def test_sigterm_to_all_processes_stops_them_in_good_order(small, tmp_path):
    """As a scheduler, systemd or the end of a session sends it; then to Snakemake alone, which waits for its jobs."""
    run = without_goal(small, tmp_path / "run")
    process = run.start(GOAL)
    run.wait_until(lambda: checkpoints(run), process)
    os.killpg(process.pid, signal.SIGTERM)
    text = run.end(process, code=1)
    assert "stopped by SIGTERM" in text and "run the same command again to go on" in text
    assert not (run.folder / GOAL).exists() and unfinished(run) == []

    process = run.start(GOAL)
    run.wait_until(lambda: scripts(process, "train_finetuned"), process)
    process.terminate()
    text = run.end(process, code=1)
    assert (run.folder / GOAL).exists()
    run()
    assert compared(small, run) == ""


def test_snakemake_killed_alone_and_its_job_lives_on(small, tmp_path):
    """The job of the next run waits for the one that trains, and takes what it has made."""
    run = without_goal(small, tmp_path / "run")
    process = run.start(GOAL)
    claims = run.folder / "work" / "claims"
    run.wait_until(lambda: scripts(process, "train_finetuned") and any(claims.glob("*.json")), process)
    (orphan,) = scripts(process, "train_finetuned")
    orphan.suspend()
    process.kill()
    process.wait()
    run("--unlock")
    process = run.start(GOAL)
    run.wait_until(lambda: f"is being made by process {orphan.pid}" in run.log.read_text(), process)
    orphan.resume()
    text = run.end(process)
    assert "finished before, in work/training/" in text
    run()
    assert compared(small, run) == ""
