"""The training loop: the library's Trainer over a planned list of steps."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.loading import POLICY, REFERENCE, trainable_parameters
from mmunlearn.progress import progress
from mmunlearn.training.methods.base import Method
from mmunlearn.training.schedule import Step
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.views import View

logger = logging.getLogger(__name__)
OBSERVED = ("loss", "forget", "retain", "refusal")
SCHEDULES = {"constant": "constant_with_warmup"}  # the library's `constant` ignores the warm-up


@dataclass(frozen=True)
class LoopSettings:
    """The optimisation of one recipe. `batch` counts examples of a forward pass."""

    batch: int
    accumulation: int
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    save_steps: int
    seed: int


class PlannedTrainer(Trainer):
    """Trains an adapter on a plan of steps; one step of the plan is one optimizer step.

    A step is split into `accumulation` forward passes inside `training_step`, where every mean is taken over
    the whole step: the gradient is that of the undivided batch.
    """

    def __init__(
        self,
        model: PeftModel,
        method: Method,
        collator: Collator,
        plan: Sequence[Step],
        settings: LoopSettings,
        work: Path,
        stopping: Stopping | None = None,
    ) -> None:
        self.method, self.collator, self.settings = method, collator, settings
        self.stop_reason, self.discarded = "", 0
        self._last_good = _snapshot(model)
        arguments = TrainingArguments(
            output_dir=str(work),
            max_steps=len(plan),
            per_device_train_batch_size=1,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=SCHEDULES.get(settings.schedule, settings.schedule),
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            seed=settings.seed,
            save_strategy="steps",
            save_steps=settings.save_steps,
            save_total_limit=1,
            logging_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            use_cpu=not torch.cuda.is_available(),
        )
        super().__init__(model=model, args=arguments, train_dataset=plan, data_collator=self._collate)
        for loud in (PrinterCallback, ProgressCallback):
            self.remove_callback(loud)
        self.add_callback(_Progress())
        self.add_callback(_Stop(self, stopping, collator.vocabulary))

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def _collate(self, steps: Sequence[Step]) -> dict[str, Any]:
        """The one step of a loader batch as tensors: forward passes, and the totals that its means run over."""
        (step,) = steps
        size = self.settings.batch
        passes = [
            {view: self.collator(step[view][start : start + size]) for view in self.method.views}
            for start in range(0, len(step[self.method.views[0]]), size)
        ]
        totals = {
            view: {
                "tokens": sum(int((one[view]["labels"] != IGNORED).sum()) for one in passes),
                "samples": sum(len(one[view]["labels"]) for one in passes),
            }
            for view in self.method.views
        }
        return {"passes": passes, "totals": totals}

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any) -> torch.Tensor:
        """Accumulate the gradient of one planned step; a loss that is not finite ends training instead."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        observed: dict[str, float] = {}
        for batches in inputs["passes"]:
            views = self._views(model, batches, inputs["totals"])
            loss = self.method.loss(views)
            for name, value in [("loss", loss), *((view, views[view].cross_entropy) for view in views)]:
                observed[name] = observed.get(name, 0.0) + value.item()
            self.accelerator.backward(loss)
        if all(map(math.isfinite, observed.values())) and _finite_gradients(model):
            self._last_good = _snapshot(model)
        else:
            self._abandon(model)
        self.state.log_history.append({"step": self.state.global_step + 1, **observed})
        return torch.tensor(observed["loss"])

    def _views(
        self, model: torch.nn.Module, batches: dict[str, Any], totals: dict[str, Any]
    ) -> dict[str, View]:
        views = {}
        for name, batch in batches.items():
            logits, labels = forward(model, batch)
            views[name] = View(logits, labels, **totals[name])
        if self.method.reference:
            with torch.no_grad(), _reference(self.accelerator.unwrap_model(model)):
                for name in self.method.reference:
                    views[name].reference_logits, _ = forward(model, batches[name])
        return views

    def _abandon(self, model: torch.nn.Module) -> None:
        """Go back to the weights that last gave a finite loss: the last update before this step is discarded."""
        step = self.state.global_step + 1
        self.stop_reason = (
            f"loss or gradient not finite at step {step}: kept the adapter of step {max(step - 2, 0)}"
        )
        self.discarded = min(step, 2)
        logger.warning(self.stop_reason)
        model.zero_grad()
        _restore(model, self._last_good)
        self.control.should_training_stop = True

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint holds the policy alone: the frozen reference is read from its own folder."""
        self.accelerator.unwrap_model(self.model).save_pretrained(output_dir, selected_adapters=[POLICY])

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: a planned step is no single forward pass."""
        return 0

    def run(self) -> list[dict[str, float | None]]:
        """Train, from the last complete checkpoint if there is one.

        Returns:
            One row a step tried: its number, the loss and the CE of every view, None where not finite.
        """
        self.train(resume_from_checkpoint=last_checkpoint(Path(self.args.output_dir)))
        self.stop_reason = self.stop_reason or "all planned steps done"
        return [
            {"step": row["step"], **{key: _finite(row[key]) for key in OBSERVED if key in row}}
            for row in self.state.log_history
            if "train_runtime" not in row
        ]


class _Stop(TrainerCallback):
    """Ends training when the stopping rule says so.

    A step that ends training is never checkpointed: a job that is killed after it starts from an earlier one and
    comes to the same end.
    """

    def __init__(self, trainer: PlannedTrainer, stopping: Stopping | None, vocabulary: int) -> None:
        self._trainer, self._stopping, self._vocabulary = trainer, stopping, vocabulary

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        if not trainer.stop_reason and self._stopping:
            watched = trainer.method.watch
            trainer.stop_reason = self._stopping.reason(watched, state.log_history, self._vocabulary) or ""
        if trainer.stop_reason:
            control.should_training_stop = True
            control.should_save = False


class _Progress(TrainerCallback):
    """A bar over the planned steps with the last loss."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar = progress(None, "training", total=state.max_steps, unit="step")
        self._bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.set_postfix(loss=f"{state.log_history[-1]['loss']:.3f}", refresh=False)
        self._bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.close()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@contextmanager
def _reference(model: PeftModel) -> Iterator[None]:
    """The frozen finetuned adapter answers inside the block, without dropout."""
    model.set_adapter(REFERENCE, inference_mode=True)
    model.eval()
    try:
        yield
    finally:
        model.set_adapter(POLICY)
        model.train()


def _snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainable_parameters(model).items()}


def _restore(model: torch.nn.Module, snapshot: dict[str, torch.Tensor]) -> None:
    for name, value in trainable_parameters(model).items():
        value.data.copy_(snapshot[name])


def _finite_gradients(model: torch.nn.Module) -> bool:
    gradients = [value.grad for value in trainable_parameters(model).values() if value.grad is not None]
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint; trainer_state.json is written last, so one without it is half a checkpoint
    of a killed job and is removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((json.loads((path / "trainer_state.json").read_text())["global_step"], path))
        except (OSError, ValueError, KeyError):
            logger.warning("%s is incomplete and removed", path)
            shutil.rmtree(path, ignore_errors=True)
    return str(max(complete)[1]) if complete else None
