"""Training one recipe from files to files: finetuned, goal and unlearned models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmunlearn.records import Question, SuiteQuestion, read_jsonl
from mmunlearn.training.adapters import save_adapter
from mmunlearn.training.courses import Course, TrainingJob, refusing_adapter, run
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.schedule import plan_finetuning, steps_of
from mmunlearn.training.sets import group_questions, read_refusals, read_sets, retained
from mmunlearn.training.settings import LoopSettings, Machine
from mmunlearn.training.stopping import Stopping

__all__ = ["Machine", "TrainingJob", "save_adapter", "train_finetuned", "train_unlearned"]


def train_finetuned(
    job: TrainingJob,
    *,
    questions: Path,
    replay: Path,
    splits: Sequence[Path],
    lora: Mapping[str, Any],
    settings: Mapping[str, Any],
    epochs: int,
    machine: Machine = Machine(),  # noqa: B008 - frozen
) -> None:
    """Train the finetuned model (no splits: all of D) or a goal model (what none of its splits forgets)."""
    keep = retained(splits)
    rows = [row for row in read_jsonl(questions, Question) if keep is None or row.image_id in keep]
    examples = group_questions(rows) + group_questions(read_jsonl(replay, SuiteQuestion))
    loop = LoopSettings(**settings, seed=job.derived_seed("order"))
    course = Course(
        job,
        machine,
        Finetune(),
        plan_finetuning(examples, epochs=epochs, batch=loop.examples, seed=loop.seed),
        loop,
        inputs=[questions, replay, *splits],
        recorded={"lora": dict(lora), "epochs": epochs},
        examples=len(examples),
        lora=lora,
    )
    run(course)


def train_unlearned(
    job: TrainingJob,
    *,
    questions: Path,
    splits: Sequence[Path],
    refusals: Path,
    finetuned: Path,
    method: str,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    max_steps: int,
    stopping: Mapping[str, Any],
    epochs: float | None = None,
    concept: int | None = None,
    kept: Mapping[int, Path] | None = None,
    machine: Machine = Machine(),  # noqa: B008 - frozen
) -> None:
    """Unlearn a split, starting from the finetuned adapter; `finetuned` is its folder.

    Args:
        splits: the split's file, or those of the person and the event split that are forgotten together.
        epochs: passes over the forget set at most, besides `max_steps`; None: `max_steps` alone counts.
        concept: unlearn the split's concept of this number alone.
        kept: optimizer step -> folder of the adapter after that step. Training that ends earlier leaves its last
            adapter there; that of step 0 is the finetuned one.
    """
    chosen = build_method(method, options)
    sets = read_sets(questions, splits, concept)
    loop = LoopSettings(**settings, seed=job.derived_seed("order"))
    forget = len(sets.person) + len(sets.event)
    steps = max_steps if epochs is None else min(max_steps, steps_of(epochs, forget, loop.examples))
    size = {"steps": steps, "batch": loop.examples, "seed": loop.seed}
    course = Course(
        job,
        machine,
        chosen,
        chosen.plan(sets.person, sets.event, sets.retain, read_refusals(refusals), **size),
        loop,
        inputs=[questions, *splits, refusals],
        recorded={
            "options": dict(options),
            "max_steps": max_steps,
            "max_epochs": epochs,
            "concept": concept,
            "stopping": dict(stopping),
        },
        examples=forget,
        start=finetuned,
        stopping=Stopping(**stopping),
        reference=finetuned,
        kept=kept,
    )
    if chosen.reference_model == "refusals":
        course = replace(course, reference=refusing_adapter(course))
    run(course)
