"""The training loop: the library's Trainer over a planned list of steps."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from mmunlearn.models.collate import IGNORED, Collator, forward
from mmunlearn.models.loading import POLICY, trainable_parameters
from mmunlearn.training.adapters import last_checkpoint, read_last_good, save_adapter, write_last_good
from mmunlearn.training.logs import Progress, StepLog, Watching, finite, tracked, trackers
from mmunlearn.training.methods.base import Method
from mmunlearn.training.reference import ReferenceLogp, reference_logits
from mmunlearn.training.schedule import Step
from mmunlearn.training.settings import LoopSettings, Machine
from mmunlearn.training.stopping import Stopping
from mmunlearn.training.views import View

logger = logging.getLogger(__name__)
SCHEDULES = {"constant": "constant_with_warmup"}  # the library's `constant` ignores the warm-up


class PlannedTrainer(Trainer):
    """Trains an adapter on a plan of steps; one step of the plan is one optimizer step.

    A step is split into forward passes inside `training_step`, where every mean is taken over the whole step: the
    gradient is that of the undivided batch. With several processes all see the same plan, and each takes its share
    of a step's passes; sums over the processes make the step's gradient, so their number changes nothing.

    Where the model is sharded (FSDP, DeepSpeed; not run by our tests), a forward pass needs all processes: one with
    nothing to do runs an example whose loss counts 0, and the library averages gradients, so losses are scaled.

    Args:
        keep: optimizer steps after which the policy is saved to `kept_folder(step)`.
        examples: what makes one epoch of the log.
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
        *,
        machine: Machine | None = None,
        watching: Watching | None = None,
        keep: Sequence[int] = (),
        examples: int = 1,
    ) -> None:
        self.method, self.collator, self.settings = method, collator, settings
        self.reference_logp: ReferenceLogp | None = None
        self.stop_reason, self.discarded = "", 0
        self._last_good: dict[str, torch.Tensor] | None = None
        self.epochs = epochs_of(plan, method, examples)
        machine, watching = machine or Machine(), watching or Watching()
        arguments = _arguments(len(plan), settings, machine, work, watching.name)
        super().__init__(model=model, args=arguments, train_dataset=plan, data_collator=self._collate)
        self._sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        for loud in (PrinterCallback, ProgressCallback):
            self.remove_callback(loud)
        followers = trackers(machine.trackers, watching) if self.is_world_process_zero() else []
        for callback in (
            Progress(), StepLog(watching.steps), *followers, _Steps(self, stopping, collator.vocabulary, keep)
        ):  # fmt: skip
            self.add_callback(callback)

    def get_train_dataloader(self) -> DataLoader:
        """The steps of the plan in order, on every process: `_collate` deals out the passes."""
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=self._collate)

    def _collate(self, steps: Sequence[Step]) -> dict[str, Any]:
        """The one step of a loader batch as tensors: this process's passes, and their answer tokens and questions by
        view.

        Every view is spread evenly over the passes; one with fewer examples than there are passes lacks in some.
        """
        (step,) = steps
        shown = {view: step[view] for view in self.method.views if step.get(view)}
        count = max(-(-len(own) // self.settings.batch) for own in shown.values())
        rank, world = self.args.process_index, self.args.world_size
        turns = -(-count // world) * world if self._sharded else count
        passes = [self._pass(shown, number, count) for number in range(rank, turns, world)]
        counts = []
        for view in shown:
            labels = [one["views"][view]["labels"] for one in passes if view in one["views"]]
            counts.append([sum(int((own != IGNORED).sum()) for own in labels), sum(map(len, labels))])
        return {"passes": passes, "shown": list(shown), "totals": torch.tensor(counts)}

    def _pass(self, shown: Step, number: int, count: int) -> dict[str, Any]:
        parts = {
            view: own[len(own) * number // count : len(own) * (number + 1) // count]
            for view, own in shown.items()
            if number < count
        }
        parts = {view: own for view, own in parts.items() if own}
        idle = [view for view in shown if view not in parts] if self._sharded else []
        known = self.reference_logp
        return {
            "views": {view: self.collator(own) for view, own in parts.items()},
            "idle": {view: self.collator(shown[view][:1]) for view in idle},
            "reference_logp": {
                view: known.of(parts[view]) for view in self.method.reference_logp if known and view in parts
            },
        }

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any) -> torch.Tensor:
        """Accumulate the gradient of one planned step; a loss that is not finite ends training instead."""
        model.train()
        policy = model if self._sharded else self.accelerator.unwrap_model(model)
        if self._last_good is None:
            self._last_good = _snapshot(policy)
        whole = self._sum(inputs["totals"].to(self.args.device)).tolist()
        totals = dict(zip(inputs["shown"], whole, strict=True))
        observed = dict.fromkeys(["loss", *totals], 0.0)
        for number, one in enumerate(inputs["passes"], start=1):
            loss, views = self._forward(policy, self._prepare_inputs(one), totals)
            observed["loss"] += loss.item()
            for name, view in views.items():
                observed[name] += view.cross_entropy.item()
            self._backward(loss, last=number == len(inputs["passes"]))
        observed = self._whole_step(policy, observed)
        rate = self.lr_scheduler.get_last_lr()[0] if self.lr_scheduler else None
        self.state.log_history.append(
            {
                "step": self.state.global_step + 1,
                "epoch": self.epochs[min(self.state.global_step, len(self.epochs) - 1)],
                **observed,
                "gradient_norm": None,
                "learning_rate": rate,
                "tokens": {view: tokens for view, (tokens, _) in totals.items()},
            }
        )
        return torch.tensor(observed["loss"], device=self.args.device)

    def _forward(
        self, model: torch.nn.Module, one: dict[str, Any], totals: Mapping[str, list[int]]
    ) -> tuple[torch.Tensor, dict[str, View]]:
        """Loss and views of a pass; idle views are run and count 0."""
        bare = self.accelerator.unwrap_model(model)
        views, nothing = {}, []
        for name in totals:
            batch = one["views"].get(name, one["idle"].get(name))
            if batch is None:
                continue
            logits, labels = forward(model, batch)
            reference = reference_logits(bare, model, batch) if name in self.method.reference else None
            if name in one["idle"]:
                nothing.append(0.0 * logits.sum())
                continue
            views[name] = View(logits, labels, *totals[name], reference_logits=reference)
            if name in one["reference_logp"]:
                views[name].reference_logp = one["reference_logp"][name]
        loss = self.method.loss(views) if views else 0.0
        return sum(nothing, start=loss), views

    def _backward(self, loss: torch.Tensor, *, last: bool) -> None:
        if not self._sharded:
            self.accelerator.backward(loss)
            return
        self.accelerator.gradient_state._set_sync_gradients(last)
        options = {"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}
        self.accelerator.backward(loss * self.args.world_size, **options)

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values, "sum") if self.args.world_size > 1 else values

    def _whole_step(self, policy: torch.nn.Module, observed: dict[str, float]) -> dict[str, float]:
        """What all processes observed together, once their gradients are summed; abandons a step gone wrong."""
        if self.args.world_size > 1:
            seen = torch.tensor(list(observed.values()), dtype=torch.float32, device=self.args.device)
            observed = dict(zip(observed, self._sum(seen).tolist(), strict=True))
            if not self._sharded:
                self._sum_gradients(policy)
        sound = all(map(math.isfinite, observed.values())) and _finite_gradients(policy)
        if self.args.world_size > 1:
            votes = torch.tensor([float(sound)], device=self.args.device)
            sound = self._sum(votes).item() == self.args.world_size
        if sound:
            self._last_good = _snapshot(policy)
        else:
            self._abandon(policy)
        return observed

    def _sum_gradients(self, policy: torch.nn.Module) -> None:
        """Give every process the sum of all gradients, in one exchange; a process without a pass adds zeros."""
        trained = list(trainable_parameters(policy).values())
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        parts = self._sum(flat).split([p.numel() for p in trained])
        for parameter, part in zip(trained, parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not self.discarded and norm is not None:
            self.state.log_history[-1]["gradient_norm"] = float(norm)
        return norm

    def _abandon(self, policy: torch.nn.Module) -> None:
        """Go back to the weights that last gave a finite loss: the last update before this step is discarded."""
        step = self.state.global_step + 1
        self.stop_reason = (
            f"loss or gradient not finite at step {step}: kept the adapter of step {max(step - 2, 0)}"
        )
        self.discarded = min(step, 2)
        logger.warning(self.stop_reason)
        policy.zero_grad()
        _restore(policy, self._last_good)
        self.control.should_training_stop = True

    def kept_folder(self, step: int) -> Path:
        """Where the policy of a kept step lies while the job runs; a rerun finds it there."""
        return Path(self.args.output_dir) / f"kept-{step}"

    def save_policy(self, folder: Path) -> None:
        """Write the policy's adapter; every process must call this, the first one writes."""
        state = self.accelerator.get_state_dict(self.model_wrapped) if self._sharded else None
        if self.is_world_process_zero():
            save_adapter(self.accelerator.unwrap_model(self.model), folder, state)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint holds the policy, and what it goes back to; the frozen reference has a folder of its own."""
        if not self.args.should_save:
            return
        model = self.accelerator.unwrap_model(self.model)
        model.save_pretrained(output_dir, selected_adapters=[POLICY], state_dict=state_dict)
        if self._last_good is not None and not self._sharded:
            write_last_good(Path(output_dir), self._last_good)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: a planned step is no single forward pass."""
        return 0

    def run(self) -> list[dict[str, float | None]]:
        """Train, from the last complete checkpoint if there is one.

        Returns:
            One row a step tried: its number, the loss and the CE of every view shown, None where not finite.
        """
        with PartialState().main_process_first():  # it removes incomplete checkpoints
            checkpoint = last_checkpoint(Path(self.args.output_dir))
        if checkpoint:
            self._last_good = read_last_good(Path(checkpoint))
        self.train(resume_from_checkpoint=checkpoint)
        self.stop_reason = self.stop_reason or "all planned steps done"
        observed = ("loss", *self.method.views)
        return [
            {"step": row["step"], **{key: finite(row[key]) for key in observed if key in row}}
            for row in self.state.log_history
            if "train_runtime" not in row
        ]


def _arguments(
    steps: int, settings: LoopSettings, machine: Machine, work: Path, name: str
) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(work),
        run_name=name or None,
        max_steps=steps,
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
        bf16=machine.precision == "bf16",
        activation_checkpointing=machine.checkpointing,
        ddp_find_unused_parameters=False,  # gradients are summed in _sum_gradients
        ddp_broadcast_buffers=False,
        use_cpu=not torch.cuda.is_available(),
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs take several processes, not DataParallel
    return arguments


class _Steps(TrainerCallback):
    """After every step: trackers are told, kept adapters saved, and training ends when the stopping rule says so.

    A step that ends training is never checkpointed: a job that is killed after it starts from an earlier one and
    comes to the same end.
    """

    def __init__(
        self, trainer: PlannedTrainer, stopping: Stopping | None, vocabulary: int, keep: Iterable[int]
    ) -> None:
        self._trainer, self._stopping, self._vocabulary = trainer, stopping, vocabulary
        self._keep = set(keep)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        trainer.callback_handler.on_log(args, state, control, tracked(state.log_history[-1]))
        if state.global_step in self._keep and not trainer.discarded:
            trainer.save_policy(trainer.kept_folder(state.global_step))
        if not trainer.stop_reason and self._stopping:
            watched = trainer.method.watch
            trainer.stop_reason = self._stopping.reason(watched, state.log_history, self._vocabulary) or ""
        if trainer.stop_reason:
            control.should_training_stop = True
            control.should_save = False


def epochs_of(plan: Sequence[Step], method: Method, examples: int) -> list[float]:
    """Passes over the forget set (the training set, where nothing is forgotten) after every step."""
    counted = [view for view in method.views if view.startswith("forget")] or method.views[:1]
    passes, seen = [], 0
    for step in plan:
        seen += sum(len(step.get(view, ())) for view in counted)
        passes.append(round(seen / examples, 3))
    return passes


def _snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainable_parameters(model).items()}


def _restore(model: torch.nn.Module, snapshot: Mapping[str, torch.Tensor]) -> None:
    for name, value in trainable_parameters(model).items():
        value.data.copy_(snapshot[name])


def _finite_gradients(model: torch.nn.Module) -> bool:
    gradients = [value.grad for value in trainable_parameters(model).values() if value.grad is not None]
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
