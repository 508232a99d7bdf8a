"""How fast does the forgotten come back?

Plain finetuning on a few forget samples; what is asked are the other forget samples, which this training never shows.
A model that has truly forgotten learns as slowly as the goal model, which has never known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmunlearn.ids import concepts_of
from mmunlearn.models.collate import Example
from mmunlearn.models.loading import POLICY
from mmunlearn.records import Finding, Question, Split, Training, read_json
from mmunlearn.robustness.asking import Speaker
from mmunlearn.robustness.subject import Subject
from mmunlearn.seeds import derive_seed
from mmunlearn.training.courses import Course, TrainingJob, run
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.schedule import Step, plan_finetuning
from mmunlearn.training.settings import LoopSettings, Machine


def relearn(
    subject: Subject,
    *,
    samples: int,
    steps: Sequence[int],
    batch: int,
    at_once: int | None,
    precision: str,
    work: Path,
    version: int,
    **optimiser: Any,
) -> tuple[list[Finding], dict[str, object]]:
    """What is told of the other forget samples after each number of optimizer steps.

    Args:
        samples: of forget_train that are finetuned on, alike from every forgotten concept.
        steps: 0 is the model as it is.
        batch: samples an optimizer step; `at_once`: those of a forward pass at most, None: all of them.
        work: where checkpoints lie while the job runs.
        optimiser: learning_rate, weight_decay and max_grad_norm of LoopSettings.
    """
    train = subject.on(subject.own.forget_train)
    shown = alike(train, subject.own, samples, subject.asking.seed)
    taken = {row.question_id for row in shown}
    rest = subject.some([row for row in train if row.question_id not in taken])
    asked = [*rest, *subject.some(subject.on(subject.own.forget_test))]
    settings = constant_rate(
        batch,
        at_once,
        save_steps=max(steps) + 1,
        seed=derive_seed(subject.asking.seed, "relearn", subject.split.stem),
        **optimiser,
    )
    home = work / "relearning"
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{subject.recipe}-", dir=home) as temporary:
        folder = Path(temporary)
        kept = {step: folder / f"step-{step}" for step in sorted(steps)}
        done = _finetune(subject, shown, kept, settings, folder / "training.json", precision, work, version)
        speaker, findings = Speaker(subject), []
        for step, adapter in kept.items():
            name = f"{POLICY}-{step}"
            speaker.model.load_adapter(str(adapter), adapter_name=name, is_trainable=False)
            speaker.model.set_adapter(name)
            values = subject.recovery(asked, speaker.say(asked))
            findings.append(subject.finding(f"step {step}", "recovered", values))
            speaker.model.set_adapter(POLICY)
            speaker.model.delete_adapter(name)
    return findings, {
        "samples": sorted(taken),
        "asked": len(asked),
        "steps": done.steps,
        "losses": done.losses,
        "settings": done.settings,
    }


def _finetune(
    subject: Subject,
    shown: Sequence[Question],
    kept: Mapping[int, Path],
    settings: LoopSettings,
    output: Path,
    precision: str,
    work: Path,
    version: int,
) -> Training:
    """Train on the samples by the project's own loop, keeping the adapter after each of some steps."""
    job = TrainingJob(
        model=subject.model, recipe=subject.recipe, seed=subject.seed, spec=subject.spec,
        features=[subject.features], output=output, work=work, version=version,
    )  # fmt: skip
    course = Course(
        job,
        Machine(precision=precision),
        Finetune(),
        plan_relearning(shown, steps=max(kept), batch=settings.examples, seed=settings.seed),
        settings,
        inputs=[subject.questions, subject.split],
        recorded={"attack": "relearning", "samples": [row.question_id for row in shown]},
        examples=len(shown),
        start=subject.adapter,
        kept=kept,
    )
    run(course)
    return read_json(output, Training)


def constant_rate(batch: int, at_once: int | None, **optimiser: Any) -> LoopSettings:
    """The optimisation: constant rate, no warm-up; what does not fit at once is accumulated."""
    passes = -(-batch // min(at_once or batch, batch))
    size = {"batch": -(-batch // passes), "accumulation": passes}
    return LoopSettings(**size, **optimiser, schedule="constant", warmup_steps=0)


def plan_relearning(shown: Sequence[Question], *, steps: int, batch: int, seed: int) -> list[Step]:
    """So many steps over the samples, in an order that is drawn anew for every pass."""
    examples = [Example(row.image_id, ((row.question, row.answer),)) for row in shown]
    passes = -(-steps // -(-len(examples) // batch))
    return plan_finetuning(examples, epochs=passes, batch=batch, seed=seed)[:steps]


def alike(rows: Sequence[Question], split: Split, n: int, seed: int) -> list[Question]:
    """n rows, taken in turn from every forgotten concept, by their lots.

    Raises:
        ValueError: fewer than one concept's sample is asked for, or nothing would be left to ask.
    """
    concepts = [[row for row in rows if one in concepts_of(row.image_id)] for one in split.forgotten]
    drawn = [
        sorted(own, key=lambda row: (derive_seed(seed, "relearn", row.question_id), row.question_id))
        for own in concepts
    ]
    turns = [row for turn in zip_longest(*drawn) for row in turn if row is not None]
    if not 0 < n < len(turns):
        raise ValueError(
            f"robustness.relearn.samples asks for {n} forget samples, but forget_train has {len(turns)} and some must "
            f"be left to ask; set it to 1 to {len(turns) - 1}"
        )
    return turns[:n]
