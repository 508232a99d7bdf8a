"""Training runs to files: the adapter and its training.json, or the adapters after some of its steps."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from mmunlearn.ids import Run, parse_recipe
from mmunlearn.models.collate import Collator
from mmunlearn.models.loading import ADAPTER_DIGESTS, load_base, trainable_parameters
from mmunlearn.models.picture_list import open_features
from mmunlearn.provenance import peak_memory_gb, versions
from mmunlearn.records import Training, digest_of, sha256_of, write_json
from mmunlearn.training.adapters import copy_adapter, is_sound, link_adapter, record_adapter
from mmunlearn.training.reference import reference_logp
from mmunlearn.training.run import TrainingRun
from mmunlearn.training.trainer import PlannedTrainer
from mmunlearn.weights.tensors import free_memory

logger = logging.getLogger(__name__)


def write_outputs(run: TrainingRun, outputs: Mapping[str, Path | list[Path]]) -> None:
    """Write what a rule's outputs name: `training`, or `adapters`, the weights of a recipe's steps."""
    if "training" in outputs:
        train(run, outputs["training"])
    else:
        trace(run, {parse_recipe(Run.of(path).recipe).step: path.parent for path in outputs["adapters"]})


def train(run: TrainingRun, output: Path) -> None:
    """Write training.json, beside it steps.jsonl as it trains, and the folder `adapter`."""
    started = time.monotonic()
    log = output.with_name("steps.jsonl")
    trainer = planned_trainer(run, log)
    losses = trainer.run()
    seconds = round(time.monotonic() - started, 1)
    adapter = output.parent / "adapter"
    trainer.save_policy(adapter)
    if trainer.is_world_process_zero():
        log.touch()  # there is none where nothing was trained
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
        write_json(output, record)
        last = losses[-1]["loss"] if losses else None
        logger.info("%d steps, last loss %s: %s", trainer.steps, last, trainer.stop_reason)
    _finish(trainer)


def trace(run: TrainingRun, adapters: Mapping[int, Path]) -> tuple[int, list[dict[str, float | None]]]:
    """Write the adapters after some of a run's optimizer steps; it ends with the last of them.

    Args:
        adapters: step -> folder. Step 0 is where training starts. Steps that are not reached share the files of the
            last one that is.

    Returns:
        Steps that the last adapter has had, and the rows of losses.
    """
    trainer = planned_trainer(run, steps=adapters)
    losses = trainer.run()
    if max(adapters) > trainer.steps:
        trainer.save_policy(trainer.step_folder(trainer.steps))
    if trainer.is_world_process_zero():
        written: dict[int, Path] = {}
        for step, folder in sorted(adapters.items()):
            if step == 0:
                copy_adapter(run.start, folder)  # a link would tie the run's files to another's
                continue
            reached = min(step, trainer.steps)
            link_adapter(written.get(reached, trainer.step_folder(reached)), folder)
            written[reached] = folder
        logger.info("adapters of %d steps, %d of them made", len(adapters), len(written))
    _finish(trainer)
    return trainer.steps, losses


def planned_trainer(
    run: TrainingRun, log: Path | None = None, steps: Collection[int] = (), *, beside: Collection[int] = ()
) -> PlannedTrainer:
    """The trainer of a run, ready to start; a reference that is not there, or another one now, is trained first.

    Args:
        log: file of a line a step; None: neither this nor trackers.
        steps: those whose adapters are saved, with which training ends; none: all of it.
        beside: steps of the run that a reference is for: two jobs that need it have no checkpoint in common.

    Raises:
        ValueError: an example that cannot be trained on.
    """
    if run.reference_run is not None and not is_sound(run.reference):
        _make_reference(run.reference_run, run.reference, beside=steps)
    features = open_features(*run.features)
    planned = (example for step in run.plan for view in run.method.views for example in step.get(view, ()))
    examples = list(dict.fromkeys(planned))
    features.require(example.image_id for example in examples)
    base = load_base(run.model_spec)
    collator = Collator(base, features)
    collator.check(examples)
    apart = [run.apart] if run.apart else []
    folder = run.work / "training" / digest_of([run.identity, sorted(steps), sorted(beside), *apart])
    trainer = PlannedTrainer(run, run.first_adapter(base), collator, folder, log, steps)
    if run.method.reference_logp:
        trainer.reference_logp = reference_logp(trainer, run, collator)
    return trainer


def _make_reference(run: TrainingRun, folder: Path, beside: Collection[int]) -> None:
    """Train a reference into a folder below `work`, where it stays."""
    trainer = planned_trainer(run, beside=beside)
    trainer.run()
    trainer.save_policy(folder)
    if trainer.is_world_process_zero():
        record_adapter(folder)
    logger.info("the reference has learnt the refusals in %d steps: %s", trainer.steps, trainer.stop_reason)
    _finish(trainer)
    del trainer
    free_memory()  # the base is loaded once more


def _finish(trainer: PlannedTrainer) -> None:
    if trainer.is_world_process_zero():
        shutil.rmtree(trainer.args.output_dir, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
