"""From a plan to files: one course of training, resumed where a killed job left off, and what it leaves behind."""

from __future__ import annotations

import gc
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from mmunlearn.models.base import Base
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.loading import (
    ModelSpec,
    add_reference,
    load_adapter,
    load_base,
    new_adapter,
    trainable_parameters,
)
from mmunlearn.provenance import checkpoint_files, peak_memory_gb, versions
from mmunlearn.records import Training, digest_of, sha256_of, write_json
from mmunlearn.seeds import derive_seed
from mmunlearn.training.adapters import copy_adapter
from mmunlearn.training.logs import Watching
from mmunlearn.training.methods.base import Method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.reference import reference_logp
from mmunlearn.training.schedule import Step
from mmunlearn.training.settings import LoopSettings, Machine
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.trainer import PlannedTrainer

logger = logging.getLogger(__name__)
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class TrainingJob:
    """One training: who is trained, on what base and features, and where training.json goes.

    The adapter and steps.jsonl are written beside `output`, trackers write to `logs`; checkpoints lie below `work`
    while the job runs. A new `version` of the rule never continues from an old one's checkpoint.
    """

    model: str
    recipe: str
    seed: int
    spec: ModelSpec
    features: Sequence[Path]
    output: Path
    work: Path
    version: int
    logs: Path | None = None

    @property
    def adapter(self) -> Path:
        return self.output.parent / "adapter"

    @property
    def watching(self) -> Watching:
        name = f"{self.model}/{self.recipe}/seed-{self.seed}"
        return Watching(self.output.with_name("steps.jsonl"), self.logs, name)

    def derived_seed(self, purpose: str) -> int:
        return derive_seed(self.seed, self.model, self.recipe, purpose)


@dataclass(frozen=True)
class Course:
    """One course of training, from its first adapter to its last.

    Attributes:
        inputs: files that the plan rests on.
        recorded: further settings for training.json.
        examples: what makes one epoch.
        start: folder of the adapter to start from; None: a new one of `lora`.
        reference: folder of the frozen reference's adapter.
        kept: optimizer step -> folder of the adapter after that step. Training that ends earlier leaves its last
            adapter there; that of step 0 is the one it starts from.
    """

    job: TrainingJob
    machine: Machine
    method: Method
    plan: Sequence[Step]
    loop: LoopSettings
    inputs: Sequence[Path]
    recorded: Mapping[str, Any]
    examples: int
    start: Path | None = None
    lora: Mapping[str, Any] | None = None
    stopping: Stopping | None = None
    reference: Path | None = None
    kept: Mapping[int, Path] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that was set, for training.json."""
        return {**asdict(self.loop), **self.recorded, **asdict(self.machine)}

    @cached_property
    def rests_on(self) -> list[str]:
        """Checksums of base and features; name and revision of a base in the cache of the model hub."""
        spec, own = self.job.spec, self.job.features
        folder = Path(spec.source).is_dir()
        files = [*checkpoint_files(spec.source), *own] if folder else own
        return [*([] if folder else [f"{spec.source}@{spec.revision}"]), *(sha256_of(path) for path in files)]

    @cached_property
    def identity(self) -> str:
        """Digest of all that shapes the result, and so of the folder with its checkpoints. How many processes train,
        and what watches them, may change between a killed job and the next one."""
        job, files = self.job, [*self.inputs, *(_weights(self.start)), *(_weights(self.reference))]
        return digest_of(
            [
                [job.version, job.model, job.recipe, job.seed, {**asdict(job.spec), "source": ""}],
                [
                    type(self.method).__name__,
                    asdict(replace(self.loop, save_steps=0)),
                    dict(self.recorded),
                    sorted(self.kept or {}),
                ],
                [self.machine.precision, self.rests_on, [sha256_of(path) for path in files]],
            ]
        )


def _weights(adapter: Path | None) -> list[Path]:
    return [] if adapter is None else [adapter / WEIGHTS]


@dataclass(frozen=True)
class Trained:
    """A course that has run: rows of losses, and how many optimizer steps the adapter has had."""

    trainer: PlannedTrainer
    losses: list[dict[str, float | None]]
    seconds: float

    @property
    def steps(self) -> int:
        return len(self.losses) - self.trainer.discarded


def train(course: Course, watching: Watching | None = None) -> Trained:
    """Run a course, from its last checkpoint if there is one."""
    started = time.monotonic()
    job, method = course.job, course.method
    base = load_base(job.spec)
    collator = Collator(base, FeatureTable(*job.features))
    examples = dict.fromkeys(
        one for step in course.plan for view in method.views for one in step.get(view, ())
    )
    collator.check(list(examples))
    trainer = PlannedTrainer(
        _first_adapter(course, base),
        method,
        collator,
        course.plan,
        course.loop,
        job.work / "training" / course.identity,
        course.stopping,
        machine=course.machine,
        watching=watching,
        keep=list(course.kept or {}),
        examples=course.examples,
    )
    if method.reference_logp:
        trainer.reference_logp = reference_logp(
            trainer,
            course.plan,
            method.reference_logp,
            folder=job.work / "reference_logp",
            identity=[
                *course.rests_on,
                *(
                    sha256_of(course.reference / WEIGHTS),
                    course.machine.precision,
                    job.spec.dtype,
                    job.spec.attention,
                ),
            ],
            adapter=None if course.reference == course.start else course.reference,
        )
    return Trained(trainer, trainer.run(), round(time.monotonic() - started, 1))


def _first_adapter(course: Course, base: Base) -> PeftModel:
    """The policy, and beside it the reference where its logits are needed in the loop."""
    if course.start is None:
        return new_adapter(base, course.lora, course.job.derived_seed("adapter"))
    model = load_adapter(base, course.start, trainable=True)
    if course.method.reference:
        add_reference(model, course.reference)
    return model


def run(course: Course) -> None:
    """Run a course and write what it leaves: adapter, steps.jsonl, kept adapters, training.json."""
    done = train(course, course.job.watching)
    job, trainer = course.job, done.trainer
    trainer.save_policy(job.adapter)
    if trainer.is_world_process_zero():
        for step, folder in (course.kept or {}).items():
            reached = course.start if step == 0 else trainer.kept_folder(step)
            copy_adapter(reached if step <= done.steps else job.adapter, folder)
        write_json(job.output, _record(course, done))
        shutil.rmtree(job.work / "training" / course.identity, ignore_errors=True)
        logger.info("%d steps, last loss %s: %s", done.steps, done.losses[-1]["loss"], trainer.stop_reason)
    trainer.accelerator.wait_for_everyone()


def _record(course: Course, done: Trained) -> Training:
    job, trainer = course.job, done.trainer
    model = trainer.accelerator.unwrap_model(trainer.model)
    return Training(
        model=job.model,
        recipe=job.recipe,
        seed=job.seed,
        method=type(course.method).__name__,
        steps=done.steps,
        epochs=trainer.epochs[max(done.steps, 1) - 1],
        stop_reason=trainer.stop_reason,
        losses=done.losses,
        seconds=done.seconds,
        peak_memory_gb=peak_memory_gb(),
        trainable_parameters=sum(value.numel() for value in trainable_parameters(model).values()),
        settings=course.settings,
        versions=versions(),
        adapter_sha256=sha256_of(job.adapter / WEIGHTS),
    )


def refusing_adapter(course: Course) -> Path:
    """Folder of the adapter that the same plan and settings make of the course's first one, trained on the refusals
    alone. It is made once and kept below `work`."""
    own = replace(course, method=Finetune("refusal"), reference=None, kept=None)
    folder = course.job.work / "references" / own.identity
    if not (folder / WEIGHTS).exists():
        done = train(own)
        done.trainer.save_policy(folder)
        logger.info(
            "the reference has learnt the refusals in %d steps: %s", done.steps, done.trainer.stop_reason
        )
        if done.trainer.is_world_process_zero():
            shutil.rmtree(course.job.work / "training" / own.identity, ignore_errors=True)
        done.trainer.accelerator.wait_for_everyone()
        del done
        gc.collect()  # trainer and callbacks hold each other, and with them the base, which is loaded once more below
        torch.cuda.empty_cache()
    return folder
