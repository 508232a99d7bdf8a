"""Training runs to files: the adapter and its training.json, or the adapters after some of its steps."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mmunlearn.ids import Run, parse_recipe
from mmunlearn.interrupts import Stopped, deferring
from mmunlearn.models.collate import Collator
from mmunlearn.models.loading import ADAPTER_DIGESTS, ADAPTER_FILES, load_base, trainable_parameters
from mmunlearn.models.picture_list import open_features
from mmunlearn.provenance import peak_memory_gb, versions
from mmunlearn.records import Training, sha256_of, write_json
from mmunlearn.spool import Spool
from mmunlearn.training.adapters import copy_adapter, link_adapter
from mmunlearn.training.reference import reference_logp
from mmunlearn.training.run import TrainingRun
from mmunlearn.training.trainer import PlannedTrainer
from mmunlearn.weights.tensors import free_memory

SPOOL = "training"
"""Where trainings work below `work`: see `spool`."""
ADAPTER, STEPS = "adapter", "steps.jsonl"
logger = logging.getLogger(__name__)


def write_outputs(run: TrainingRun, outputs: Mapping[str, Path | list[Path]]) -> None:
    """Write what a rule's outputs name: `training`, or `adapters`, the weights of a recipe's steps."""
    if "training" in outputs:
        train(run, outputs["training"])
    else:
        trace(run, {parse_recipe(Run.of(path).recipe).step: path.parent for path in outputs["adapters"]})


def train(run: TrainingRun, output: Path) -> None:
    """Write training.json, beside it steps.jsonl as it trains, and the folder `adapter`.

    Raises:
        Stopped: a signal asked for it. One that comes when all steps are done waits for the files.
    """
    files = {f"{ADAPTER}/{name}": output.parent / ADAPTER / name for name in ADAPTER_FILES}
    spool = Spool(
        run.work, SPOOL, files | {STEPS: output.with_name(STEPS), output.name: output}, run.identity
    )
    if spool.is_finished():
        _deliver(spool)
        return
    started, log = time.monotonic(), spool.folder / STEPS
    if _is_first():
        log.write_text("", encoding="utf-8")  # it stays so where nothing is trained
        spool.link(STEPS)
    trainer = planned_trainer(run, spool.folder, log)
    losses = trainer.run()
    seconds = round(time.monotonic() - started, 1)
    with _undisturbed(trainer):
        adapter = spool.folder / ADAPTER
        trainer.save_policy(adapter)
        if _is_first():
            model = trainer.accelerator.unwrap_model(trainer.model)
            record = Training(
                **run.run._asdict(),
                method=type(run.method).__name__,
                steps=trainer.steps,
                epochs=trainer.epochs[trainer.steps - 1] if trainer.steps else 0.0,
                stop_reason=trainer.stop_reason,
                losses=losses,
                seconds=seconds,
                peak_memory_gb=peak_memory_gb(),
                trainable_parameters=sum(value.numel() for value in trainable_parameters(model).values()),
                settings=run.settings,
                versions=versions(),
                **{field: sha256_of(adapter / name) for field, name in ADAPTER_DIGESTS.items()},
            )
            write_json(spool.folder / output.name, record)
            spool.finish()
            last = losses[-1]["loss"] if losses else None
            logger.info("%d steps, last loss %s: %s", trainer.steps, last, trainer.stop_reason)
        _deliver(spool)


def trace(run: TrainingRun, adapters: Mapping[int, Path]) -> None:
    """Write the adapters after some of a run's optimizer steps, by `take_steps`.

    Args:
        adapters: step -> folder.
    """
    files = {
        f"step-{step}/{name}": folder / name for step, folder in adapters.items() for name in ADAPTER_FILES
    }
    spool = Spool(run.work, SPOOL, files, run.identity)
    if not spool.is_finished():
        take_steps(run, spool.folder, adapters, spool.finish)
    _deliver(spool)


def take_steps(
    run: TrainingRun, folder: Path, steps: Collection[int], then: Callable[[], None] = lambda: None
) -> tuple[int, list[dict[str, float | None]]]:
    """Leave the adapters after some of a run's optimizer steps in `folder/step-<n>`; it ends with the last of them.

    Args:
        folder: of the checkpoints, too.
        steps: 0 is where training starts. Those that are not reached share the files of the last one that is.
        then: called before a signal is heeded.

    Returns:
        Steps that the last adapter has had, and the rows of losses.
    """
    trainer = planned_trainer(run, folder, steps=steps)
    losses = trainer.run()
    with _undisturbed(trainer):
        if max(steps) > trainer.steps:
            trainer.save_policy(trainer.step_folder(trainer.steps))
        if _is_first():
            for step in steps:
                if step > trainer.steps:
                    link_adapter(trainer.step_folder(trainer.steps), trainer.step_folder(step))
            if 0 in steps:
                copy_adapter(
                    run.start, trainer.step_folder(0)
                )  # a link would tie the run's files to another's
            logger.info("adapters of %d steps, %d of them made", len(steps), min(max(steps), trainer.steps))
            then()
    return trainer.steps, losses


def planned_trainer(
    run: TrainingRun, folder: Path, log: Path | None = None, steps: Collection[int] = ()
) -> PlannedTrainer:
    """The trainer of a run, ready to start; its reference is there.

    Args:
        folder: of checkpoints.
        log: file of a line a step; None: neither this nor trackers.
        steps: those whose adapters are saved, with which training ends; none: all of it.

    Raises:
        ValueError: an example that cannot be trained on.
    """
    features = open_features(*run.features)
    planned = (example for step in run.plan for view in run.method.views for example in step.get(view, ()))
    examples = list(dict.fromkeys(planned))
    features.require(example.image_id for example in examples)
    base = load_base(run.model_spec)
    collator = Collator(base, features)
    collator.check(examples)
    trainer = PlannedTrainer(run, run.first_adapter(base), collator, folder, log, steps)
    if run.method.reference_logp:
        trainer.reference_logp = reference_logp(trainer, run, collator)
    return trainer


def make_reference(run: TrainingRun, reference: Path, folder: Path) -> None:
    """Train a reference into a folder below `work`, where it stays.

    Args:
        folder: of checkpoints.
    """
    trainer = planned_trainer(run, folder)
    trainer.run()
    with _undisturbed(trainer):
        trainer.save_policy(reference, recorded=True)
        logger.info(
            "the reference has learnt the refusals in %d steps: %s", trainer.steps, trainer.stop_reason
        )
    del trainer
    free_memory()  # the base is loaded once more


@contextmanager
def _undisturbed(trainer: PlannedTrainer) -> Iterator[None]:
    """Write what a training has led to, a matter of moments, before a signal is heeded: no step is done again for it.

    All processes are at the block's end together.
    """
    with deferring() as request:
        yield
        trainer.accelerator.wait_for_everyone()
    number = trainer.request.number or request.number
    if number is not None:
        raise Stopped(number)


def _deliver(spool: Spool) -> None:
    if _is_first():
        spool.deliver()


def _is_first() -> bool:
    """Whether this is the process that writes, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"
