"""The description of a training run: its files and settings, and the plan and identity that follow from them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from peft import PeftModel

from mmunlearn.digests import STORE, checksums
from mmunlearn.files import read_refusals
from mmunlearn.ids import Run, parse_recipe
from mmunlearn.models.base import Base
from mmunlearn.models.example import Example
from mmunlearn.models.identity import base_identity, stamps
from mmunlearn.models.loading import ModelSpec, add_reference, load_adapter, new_adapter
from mmunlearn.records import Question, SuiteQuestion, digest_of, read_jsonl, sha256_of
from mmunlearn.seeds import derive_seed
from mmunlearn.training.adapters import WEIGHTS
from mmunlearn.training.methods.base import Method
from mmunlearn.training.methods.building import build_method
from mmunlearn.training.methods.finetune import Finetune
from mmunlearn.training.methods.light import DECIDING
from mmunlearn.training.schedule import Step, plan_finetuning, steps_of
from mmunlearn.training.sets import Sets, group_questions, read_sets, retained
from mmunlearn.training.stopping import Stopping


@dataclass(frozen=True)
class LoopSettings:
    """The optimisation. `batch` counts examples of a forward pass, in every view; `average`, one of losses.AVERAGES, is
    that of CE and KL."""

    batch: int
    accumulation: int
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    average: str = "sample"

    @property
    def examples(self) -> int:
        """Examples of an optimizer step in every view, whatever the number of processes."""
        return self.batch * self.accumulation


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training run.

    A subclass says what is learnt: its `method`, the `plan` of its steps, `epoch`, how many examples make one,
    `inputs`, the files that these rest on, and `recorded`, its own settings for training.json. Of what a run is
    computed on, none but the precision changes a result by more than rounding.

    Attributes:
        run: model, recipe and seed.
        spec: settings of ModelSpec.
        features: files of the pictures' features; of a model that keeps none, lists of pictures (see `open_features`).
        questions: those of the data set.
        splits: of what is forgotten; none: nothing is.
        loop: settings of LoopSettings.
        work: folder of checkpoints and finished work until that is read, and of references, which stay.
        version: of the rule; a new one never continues from an old one's checkpoint.
        logs: folder of what trackers write.
        save_steps: optimizer steps between checkpoints.
        precision: `none`, or `bf16` for automatic mixed precision. Adapter weights stay float32 in both.
        processes: one a GPU; more than one are started by `accelerate launch`.
        accelerate_config: a file of `accelerate config`, for FSDP, DeepSpeed or several machines. Passed through
            as it is; None: plain data parallel training.
        workers: processes beside each of these that read and lay out the next steps, a step each; 0: none.
        checkpointing: recompute activations in the backward pass instead of keeping them.
        trackers: `tensorboard`, `wandb`, or both.
    """

    run: Run
    spec: Mapping[str, Any]
    features: Sequence[Path]
    questions: Path
    splits: Sequence[Path]
    loop: Mapping[str, Any]
    work: Path
    version: int | str
    logs: Path | None = None
    save_steps: int
    precision: str = "none"
    processes: int = 1
    accelerate_config: str | None = None
    workers: int = 0
    checkpointing: bool = False
    trackers: Sequence[str] = ()

    start = None
    """Folder of the adapter that training starts from."""
    reference = None
    """Folder of the frozen reference's adapter."""
    reference_run = None
    """The run that makes the reference, where it is not the start."""
    stopping_rule = None
    """What ends the run before its plan does."""
    checks_start = False
    """Whether the rule is asked before the first step, too."""

    @property
    def model_spec(self) -> ModelSpec:
        return ModelSpec(**self.spec)

    @property
    def loop_settings(self) -> LoopSettings:
        return LoopSettings(**self.loop)

    @property
    def order_seed(self) -> int:
        """Of the order of the examples, and of dropout, which is drawn for every forward pass of a step apart."""
        return self.derived_seed("order")

    def derived_seed(self, purpose: str) -> int:
        return derive_seed(self.run.seed, self.run.model, self.run.recipe, purpose)

    def first_adapter(self, base: Base) -> PeftModel:
        """The policy, and beside it the reference where its logits are needed in the loop."""
        model = load_adapter(base, self.start, trainable=True)
        if self.method.reference:
            add_reference(model, self.reference)
        return model

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, for training.json."""
        names = ("processes", "accelerate_config", "workers", "checkpointing", "precision", "trackers")
        return {
            **asdict(self.loop_settings),
            "save_steps": self.save_steps,
            "seed": self.order_seed,
            "base": digest_of(base_identity(self.model_spec, self.work)),
            **self.recorded,
            **{name: getattr(self, name) for name in names},
        }

    @cached_property
    def base_digests(self) -> list[Any]:
        """What stands for base and features. See `base_identity` and `stamps`."""
        return [base_identity(self.model_spec, self.work), stamps(self.features)]

    def _checksum(self, path: Path) -> str:
        return checksums({"": path}, self.work / STORE)[""]

    @property
    def code(self) -> list[str]:
        """What stands for the code that decides what is learnt."""
        return _code_of(type(self.method))

    @cached_property
    def identity(self) -> str:
        """Digest of all that shapes the result. How many processes train, and what follows them, may change between a
        killed job and the next one."""
        adapters = [folder / WEIGHTS for folder in (self.start, self.reference) if folder]
        return digest_of(
            [
                [self.version, *self.run, {**asdict(self.model_spec), "source": ""}],
                [type(self.method).__name__, asdict(self.loop_settings), self.order_seed, self.recorded],
                [
                    self.precision,
                    self.base_digests,
                    [self._checksum(path) for path in [*self.inputs, *adapters]],
                ],
                *filter(None, [self.code]),
            ]
        )


def _code_of(method: type[Method]) -> list[str]:
    """Checksums of the sources of a method's class, of those that it derives from, and of what decides beside them."""
    modules = (sys.modules.get(cls.__module__) for cls in method.__mro__)
    own = {Path(module.__file__) for module in modules if getattr(module, "__file__", None)}
    return [sha256_of(path) for path in sorted(own | {Path(__file__).with_name(name) for name in DECIDING})]


@dataclass(frozen=True, kw_only=True)
class FinetuningRun(TrainingRun):
    """The finetuned model (no splits: all of D) or a goal model (what none of its splits forgets).

    Attributes:
        replay: questions on further pictures that are learnt beside those of the data set.
        lora: rank, alpha and dropout of the new adapter, whose initial weights follow from the run's seed.
        lora_targets: see ModelSpec.
        epochs: passes over the examples.
    """

    replay: Path
    lora: Mapping[str, Any]
    lora_targets: str | None = None
    epochs: int

    method = Finetune()

    @property
    def model_spec(self) -> ModelSpec:
        return ModelSpec(**self.spec, lora_targets=self.lora_targets)

    @cached_property
    def examples(self) -> list[Example]:
        """Questions by picture."""
        images = retained(self.splits)
        rows = [
            row for row in read_jsonl(self.questions, Question) if images is None or row.image_id in images
        ]
        return group_questions(rows) + group_questions(read_jsonl(self.replay, SuiteQuestion))

    @cached_property
    def plan(self) -> list[Step]:
        size = {"batch": self.loop_settings.examples, "seed": self.order_seed}
        return plan_finetuning(self.examples, epochs=self.epochs, **size)

    @property
    def epoch(self) -> int:
        return len(self.examples)

    @property
    def inputs(self) -> list[Path]:
        return [self.questions, self.replay, *self.splits]

    @property
    def recorded(self) -> dict[str, Any]:
        return {"lora": dict(self.lora), "epochs": self.epochs}

    def first_adapter(self, base: Base) -> PeftModel:
        return new_adapter(base, self.lora, self.derived_seed("adapter"))


@dataclass(frozen=True, kw_only=True)
class UnlearningRun(TrainingRun):
    """A split, or a person and an event split together, unlearned by the recipe's method; one concept of it alone where
    the recipe names one.

    Attributes:
        refusals: file of one a line.
        finetuned: weights of the adapter that training starts from.
        options: of the method.
        max_steps: optimizer steps at most.
        epochs: passes over the forget set at most, too; None: `max_steps` alone counts.
        stopping: settings of Stopping.
        on_refusals: train on the plan's refusals alone, which makes the reference of the paper's DPO.
    """

    refusals: Path
    finetuned: Path
    options: Mapping[str, Any]
    max_steps: int
    epochs: float | None = None
    stopping: Mapping[str, Any]
    on_refusals: bool = False

    @cached_property
    def unlearning(self) -> Method:
        """The method of the recipe."""
        return build_method(parse_recipe(self.run.recipe).method, self.options)

    @property
    def method(self) -> Method:
        return Finetune("refusal") if self.on_refusals else self.unlearning

    @cached_property
    def sets(self) -> Sets:
        return read_sets(self.questions, self.splits, self.concept)

    @property
    def concept(self) -> int | None:
        return parse_recipe(self.run.recipe).concept

    @cached_property
    def plan(self) -> list[Step]:
        sets, batch, steps = self.sets, self.loop_settings.examples, self.max_steps
        if self.epochs is not None:
            steps = min(steps, steps_of(self.epochs, self.epoch, batch))
        refusals, size = read_refusals(self.refusals), {"steps": steps, "batch": batch}
        return self.unlearning.plan(
            sets.person, sets.event, sets.retain, refusals, **size, seed=self.order_seed
        )

    @property
    def epoch(self) -> int:
        return len(self.sets.forget)

    @property
    def inputs(self) -> list[Path]:
        return [self.questions, *self.splits, self.refusals]

    @property
    def recorded(self) -> dict[str, Any]:
        return {
            "options": dict(self.options),
            "max_steps": self.max_steps,
            "max_epochs": self.epochs,
            "concept": self.concept,
            "stopping": dict(self.stopping),
        }

    @property
    def stopping_rule(self) -> Stopping:
        return Stopping(**self.stopping)

    @property
    def start(self) -> Path:
        return self.finetuned.parent

    @cached_property
    def reference_run(self) -> UnlearningRun | None:
        return replace(self, on_refusals=True) if self.method.reference_model == "refusals" else None

    @property
    def reference(self) -> Path:
        made = self.reference_run
        return self.work / "references" / made.identity if made else self.start
