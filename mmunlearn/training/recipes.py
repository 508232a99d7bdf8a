"""Training one recipe from files to files: finetuned, goal and unlearned models."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel

from mmunlearn.config import checkpoint_files
from mmunlearn.models.collate import Collator, Example
from mmunlearn.models.features import read_features
from mmunlearn.models.loading import (
    POLICY,
    Base,
    ModelSpec,
    add_reference,
    load_adapter,
    load_base,
    new_adapter,
    trainable_parameters,
)
from mmunlearn.provenance import peak_memory_gb, versions
from mmunlearn.records import (
    Question,
    Split,
    SuiteQuestion,
    Training,
    digest_of,
    read_json,
    read_jsonl,
    sha256_of,
    write_json,
)
from mmunlearn.seeds import derive_seed
from mmunlearn.training.methods import build_method
from mmunlearn.training.methods.base import Method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.schedule import Step, plan_finetuning, plan_unlearning
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.trainer import LoopSettings, PlannedTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """One training: who is trained, on what base and features, and where training.json goes.

    The adapter is written beside `output`; checkpoints lie below `work` while the job runs. A new `version` of the
    rule never continues from an old one's checkpoint.
    """

    model: str
    recipe: str
    seed: int
    spec: ModelSpec
    features: Sequence[Path]
    output: Path
    work: Path
    version: int

    @property
    def adapter(self) -> Path:
        return self.output.parent / "adapter"

    def derived_seed(self, purpose: str) -> int:
        return derive_seed(self.seed, self.model, self.recipe, purpose)


def train_finetuned(
    job: TrainingJob,
    *,
    questions: Path,
    replay: Path,
    split: Path | None,
    lora: Mapping[str, Any],
    settings: Mapping[str, Any],
    epochs: int,
) -> None:
    """Train the finetuned model (split None: all of D) or a goal model (the split's retain set only)."""
    keep = None if split is None else set(read_json(split, Split).retain)
    rows = [row for row in read_jsonl(questions, Question) if keep is None or row.image_id in keep]
    examples = group_questions(rows) + group_questions(read_jsonl(replay, SuiteQuestion))
    loop = LoopSettings(**settings, seed=job.derived_seed("order"))
    plan = plan_finetuning(examples, epochs=epochs, batch=loop.batch * loop.accumulation, seed=loop.seed)
    _train(
        job,
        Finetune(),
        plan,
        loop,
        build=lambda base: new_adapter(base, lora, job.derived_seed("adapter")),
        inputs=[questions, replay, *([] if split is None else [split])],
        recorded={"lora": dict(lora), "epochs": epochs},
        epoch=len(examples),
    )


def train_unlearned(
    job: TrainingJob,
    *,
    questions: Path,
    split: Path,
    refusals: Path,
    finetuned: Path,
    method: str,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    max_steps: int,
    stopping: Mapping[str, Any],
) -> None:
    """Unlearn a split, starting from the finetuned adapter; `finetuned` is its folder."""
    chosen = build_method(method, options)
    own = read_json(split, Split)
    rows = read_jsonl(questions, Question)
    train, retain = set(own.forget_train), set(own.retain)
    forget = group_questions(row for row in rows if row.image_id in train and row.kind == own.target)
    loop = LoopSettings(**settings, seed=job.derived_seed("order"))
    plan = plan_unlearning(
        forget,
        group_questions(row for row in rows if row.image_id in retain),
        read_refusals(refusals),
        steps=max_steps,
        batch=loop.batch * loop.accumulation,
        seed=loop.seed,
    )

    def build(base: Base) -> PeftModel:
        model = load_adapter(base, finetuned, trainable=True)
        if chosen.reference:
            add_reference(model, finetuned)
        return model

    _train(
        job,
        chosen,
        plan,
        loop,
        build=build,
        inputs=[questions, split, refusals, finetuned / "adapter_model.safetensors"],
        recorded={"options": dict(options), "max_steps": max_steps, "stopping": dict(stopping)},
        epoch=len(forget),
        stopping=Stopping(**stopping),
    )


def _train(
    job: TrainingJob,
    method: Method,
    plan: Sequence[Step],
    loop: LoopSettings,
    *,
    build: Callable[[Base], PeftModel],
    inputs: Sequence[Path],
    recorded: Mapping[str, Any],
    epoch: int,
    stopping: Stopping | None = None,
) -> None:
    """Train and write adapter and training.json. `epoch`: examples that make one pass."""
    started = time.monotonic()
    settings = {**asdict(loop), **recorded}
    files = (*inputs, *job.features, *checkpoint_files(job.spec.source))
    contents = [sha256_of(path) for path in files]
    identity = [job.version, job.model, job.recipe, job.seed, job.spec.dtype, settings, contents]
    work = job.work / "training" / digest_of(identity)
    base = load_base(job.spec)
    model = build(base)
    trainer = PlannedTrainer(
        model, method, Collator(base, read_features(*job.features)), plan, loop, work, stopping
    )
    losses = trainer.run()
    save_adapter(model, job.adapter)
    seen = sum(len(step[method.views[0]]) for step in plan[: len(losses)])
    write_json(
        job.output,
        Training(
            model=job.model,
            recipe=job.recipe,
            seed=job.seed,
            method=type(method).__name__,
            steps=len(losses) - trainer.discarded,
            epochs=round(seen / epoch, 3),
            stop_reason=trainer.stop_reason,
            losses=losses,
            seconds=round(time.monotonic() - started, 1),
            peak_memory_gb=peak_memory_gb(),
            trainable_parameters=sum(value.numel() for value in trainable_parameters(model).values()),
            settings=settings,
            versions=versions(),
            adapter_sha256=sha256_of(job.adapter / "adapter_model.safetensors"),
        ),
    )
    shutil.rmtree(work, ignore_errors=True)
    logger.info("%d steps, last loss %s: %s", len(losses), losses[-1]["loss"], trainer.stop_reason)


def group_questions(rows: Iterable[Question | SuiteQuestion]) -> list[Example]:
    """Questions by picture, in the order of the rows."""
    turns: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        turns.setdefault(row.image_id, []).append((row.question, row.answer))
    return [Example(image_id, tuple(own)) for image_id, own in turns.items()]


def read_refusals(path: Path) -> list[str]:
    """One refusal a line. Raises ValueError where there is none."""
    refusals = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not refusals:
        raise ValueError(f"{path} holds no refusals; PO and DPO need at least one line")
    return refusals


def save_adapter(model: Any, folder: Path) -> None:
    """Write the policy as adapter_config.json and adapter_model.safetensors, replacing what was there."""
    temporary = folder.with_name(".adapter-being-written")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary, selected_adapters=[POLICY])
    (temporary / "README.md").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
