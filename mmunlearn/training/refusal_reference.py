"""The reference that is trained on the refusals, as the paper's DPO has it: made once, for all jobs that need it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from mmunlearn.claims import claim
from mmunlearn.spool import Spool
from mmunlearn.training.adapters import is_sound
from mmunlearn.training.launch import launch
from mmunlearn.training.run import TrainingRun
from mmunlearn.training.train import SPOOL, make_reference


def prepare_reference(run: TrainingRun, outputs: Iterable[Path]) -> None:
    """Train a run's reference that is not there, or another one now. The job does so before it starts the processes of
    the run, as these could not agree on it while another job that needs the same one makes it.

    Args:
        outputs: of the job, which has checkpoints of its own.
    """
    made = run.reference_run
    if made is None:
        return
    place = min(outputs).with_name("reference")
    with claim(run.work / "claims" / f"reference-{made.identity}.json", run.reference):
        if not is_sound(run.reference):
            spool = Spool(run.work, SPOOL, {"reference": place}, made.identity, stays=True)
            spool.remove_others()
            launch(make_reference, made, reference=run.reference, folder=spool.folder)
            shutil.rmtree(spool.folder.parent, ignore_errors=True)
