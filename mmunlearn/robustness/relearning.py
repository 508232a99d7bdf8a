"""Attack by relearning: how fast does finetuning on a few samples bring the forgotten back?

Plain finetuning on a few forget samples; the questions are on the other forget samples, which this training never
shows. A model that has truly forgotten learns as slowly as the goal model, which has never known.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.sampling import in_turn
from mmunlearn.ids import concepts_of
from mmunlearn.models.example import Example
from mmunlearn.models.loading import POLICY, add_adapter
from mmunlearn.records import Finding, Question, Split
from mmunlearn.robustness.base import AttackMethod
from mmunlearn.robustness.target import TargetModel
from mmunlearn.seeds import derive_seed
from mmunlearn.spool import Spool
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.run import LoopSettings, TrainingRun
from mmunlearn.training.schedule import Step, plan_finetuning
from mmunlearn.training.train import take_steps
from mmunlearn.weights.tensors import free_memory


def relearn(
    target: TargetModel,
    *,
    samples: int,
    steps: Sequence[int],
    batch: int,
    at_once: int | None,
    precision: str,
    **optimiser: Any,
) -> tuple[list[Finding], dict[str, object]]:
    """How much is told of the other forget samples after each number of optimizer steps.

    Args:
        samples: of forget_train that are finetuned on, as many from every forgotten concept.
        steps: 0 is the model as it is.
        batch: samples an optimizer step; `at_once`: those of a forward pass at most, None: all of them.
        optimiser: learning_rate, average, weight_decay and max_grad_norm of LoopSettings.
    """
    split, seed = target.split, target.settings.seed
    forget = target.questions_on(split.forget_train)
    lesson = from_every_concept(forget, split, samples, seed)
    ids = {row.question_id for row in lesson}
    rows = target.sample([row for row in forget if row.question_id not in ids])
    rows += target.sample(target.questions_on(split.forget_test))
    run = RelearningRun(
        run=target.run,
        spec=asdict(target.spec),
        features=[target.files["features"]],
        questions=target.files["questions"],
        splits=[target.files["split"]],
        loop=asdict(constant_rate(batch, at_once, **optimiser)),
        work=target.work,
        version=target.version,
        save_steps=max(steps) + 1,
        precision=precision,
        start=target.adapter,
        lesson=lesson,
        steps=max(steps),
        seed=derive_seed(seed, "relearn", target.files["split"].stem),
    )
    spool = Spool(target.work, "relearning", {"findings": target.output}, run.identity, stays=True)
    spool.remove_others()
    folder = spool.folder
    steps_done, losses = take_steps(run, folder, steps)
    free_memory()  # the trained base goes before the one that is asked comes
    findings = []
    for step in sorted(steps):
        name = f"{POLICY}-{step}"
        add_adapter(target.model, folder / f"step-{step}", name)
        target.model.set_adapter(name)
        values = target.recovery(target.answers(rows))
        findings.append(target.finding(f"step {step}", "recovered", values, target.clusters(rows)))
        target.model.set_adapter(POLICY)
        target.model.delete_adapter(name)
    shutil.rmtree(folder.parent)
    return findings, {
        "samples": sorted(ids),
        "asked": len(rows),
        "steps": steps_done,
        "losses": losses,
        "settings": run.settings,
    }


@dataclass(frozen=True, kw_only=True)
class RelearningRun(TrainingRun):
    """Plain finetuning of an adapter on the lesson, for so many steps."""

    start: Path
    lesson: Sequence[Question]
    steps: int
    seed: int

    method = Finetune()

    @property
    def order_seed(self) -> int:
        return self.seed

    @cached_property
    def plan(self) -> list[Step]:
        size = {"steps": self.steps, "batch": self.loop_settings.examples}
        return plan_relearning(self.lesson, **size, seed=self.order_seed)

    @property
    def epoch(self) -> int:
        return len(self.lesson)

    @property
    def inputs(self) -> list[Path]:
        return [self.questions, *self.splits]

    @property
    def recorded(self) -> dict[str, Any]:
        return {"attack": "relearning", "samples": [row.question_id for row in self.lesson]}


def constant_rate(batch: int, at_once: int | None, **optimiser: Any) -> LoopSettings:
    """The optimisation: constant rate, no warm-up; what does not fit at once is accumulated."""
    passes = -(-batch // min(at_once or batch, batch))
    size = {"batch": -(-batch // passes), "accumulation": passes}
    return LoopSettings(**size, **optimiser, schedule="constant", warmup_steps=0)


def plan_relearning(lesson: Sequence[Question], *, steps: int, batch: int, seed: int) -> list[Step]:
    """So many steps over the samples, in an order that is drawn anew for every pass."""
    examples = [Example(row.image_id, ((row.question, row.answer),)) for row in lesson]
    passes = -(-steps // -(-len(examples) // batch))
    return plan_finetuning(examples, epochs=passes, batch=batch, seed=seed)[:steps]


def from_every_concept(rows: Sequence[Question], split: Split, n: int, seed: int) -> list[Question]:
    """n rows, taken in turn from every forgotten concept, by their lots.

    Raises:
        ValueError: fewer than one concept's sample is asked for, or nothing would be left to ask.
    """
    by_lot = sorted(rows, key=lambda row: (derive_seed(seed, "relearn", row.question_id), row.question_id))
    turns = in_turn(
        [row for row in by_lot if concept in concepts_of(row.image_id)] for concept in split.forgotten
    )
    if not 0 < n < len(turns):
        raise ValueError(
            f"robustness.relearn.samples asks for {n} forget samples, but forget_train has {len(turns)} and some must "
            f"be left to ask; set it to 1 to {len(turns) - 1}"
        )
    return turns[:n]


class Relearning(AttackMethod):
    """The attack of this file."""

    attack = staticmethod(relearn)
