"""The training loop: the library's Trainer over a planned list of steps."""

from __future__ import annotations

import logging
import math
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from traceback import clear_frames
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from mmunlearn.atomic import full_disk_named
from mmunlearn.interrupts import GO_ON, Request, Stopped, deferring
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.loading import POLICY, read_adapter, trainable_parameters
from mmunlearn.seeds import derive_seed
from mmunlearn.training.adapters import (
    CHECKPOINT_REMEDY,
    check_state,
    last_checkpoint,
    read_last_good,
    save_adapter,
    write_last_good,
)
from mmunlearn.training.logs import Progress, StepLog, finite, tracked, trackers
from mmunlearn.training.losses import answer_lengths
from mmunlearn.training.reference import ReferenceLogp, reference_logits
from mmunlearn.training.run import TrainingRun
from mmunlearn.training.schedule import Step, epochs_of
from mmunlearn.training.stopping import VIEWS
from mmunlearn.training.views import View
from mmunlearn.training.workers import packed, start_worker, unpacked

logger = logging.getLogger(__name__)
SCHEDULES = {"constant": "constant_with_warmup"}  # the library's `constant` ignores the warm-up


class PlannedTrainer(Trainer):
    """Trains an adapter on a plan of steps; one step of the plan is one optimizer step.

    A step is split into forward passes inside `training_step`, where every mean is taken over the whole step: the
    gradient is that of the undivided batch. With several processes all have the same plan, and each takes its share
    of a step's passes; sums over the processes make the step's gradient, and dropout is drawn anew for every pass, by
    its step and its number in the step: so the number of processes changes nothing.

    Where the model is sharded (FSDP, DeepSpeed; not run by our tests), a forward pass needs all processes: one with
    nothing to do runs an example whose loss counts 0, and the library averages gradients, so losses are scaled.

    Args:
        model: the run's first adapter on its base.
        folder: of checkpoints.
        log: file of a line a step; None: neither this nor trackers.
        steps: optimizer steps after which the policy is saved to `step_folder`, and with which training ends; none: the
            whole plan.
    """

    def __init__(
        self,
        run: TrainingRun,
        model: PeftModel,
        collator: Collator,
        folder: Path,
        log: Path | None = None,
        steps: Collection[int] = (),
    ) -> None:
        self._run, self.method, self.collator = run, run.method, collator
        self.reference_logp: ReferenceLogp | None = None
        self.stop_reason, self.discarded = "", 0
        self.request, self.interrupted = Request(), False
        self.epochs = epochs_of(run.plan, run.method.views, run.epoch)
        self._batch, self._average = run.loop_settings.batch, run.loop_settings.average
        self._last_good: dict[str, torch.Tensor] | None = None
        super().__init__(model, _arguments(run, folder), self._collate, train_dataset=run.plan)
        if self.sharded and collator.runs_tower:
            raise ValueError(
                f"{run.run.model} is to be trained in shards, but its vision features are not kept, and no process has "
                f"the whole tower to make them; set models.{run.run.model}.cache_features: true"
            )
        for loud in (PrinterCallback, ProgressCallback):
            self.remove_callback(loud)
        followers = []
        if log is not None:
            followers.append(StepLog(log))
            followers += trackers(run.trackers, run.logs) if self.is_world_process_zero() else []
        for callback in (Progress(), *followers, _Steps(self, run, steps)):
            self.add_callback(callback)

    @property
    def sharded(self) -> bool:
        """No process has the whole model."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    @property
    def steps(self) -> int:
        """Optimizer steps that the policy has had."""
        return self.state.global_step - self.discarded

    def get_train_dataloader(self) -> DataLoader:
        """The steps of the plan in order, on every process, whose passes `_collate` deals out; with workers each has
        one step ready, or in the making."""
        order = {"batch_size": 1, "shuffle": False}
        if not self.args.dataloader_num_workers:
            return DataLoader(self.train_dataset, **order, collate_fn=self._collate)
        return DataLoader(
            self.train_dataset,
            **order,
            collate_fn=lambda steps: packed(self._collate(steps)),
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=1,
            pin_memory=self.args.dataloader_pin_memory,
            worker_init_fn=start_worker,
            multiprocessing_context="fork",  # the model and the features' files are there, and nothing is copied
        )

    def _collate(self, steps: Sequence[Step]) -> dict[str, Any]:
        """The one step of a loader batch as tensors: this process's passes, and their answer tokens and questions
        with an answer by view.

        Every view is spread evenly over the passes; one with fewer examples than there are passes lacks in some.
        """
        views = {view: steps[0][view] for view in self.method.views if steps[0].get(view)}
        count = max(-(-len(examples) // self._batch) for examples in views.values())
        rank, world = self.args.process_index, self.args.world_size
        turns = -(-count // world) * world if self.sharded else count
        passes = [self._pass(views, number, count) for number in range(rank, turns, world)]
        totals = {}
        for view in views:
            labels = [part["views"][view]["labels"] for part in passes if view in part["views"]]
            lengths = [length for rows in labels for length in answer_lengths(rows).tolist()]
            totals[view] = [sum(lengths), sum(length > 0 for length in lengths)]
        return {"passes": passes, "totals": totals}

    def _pass(self, views: Step, number: int, count: int) -> dict[str, Any]:
        parts = {
            view: examples[len(examples) * number // count : len(examples) * (number + 1) // count]
            for view, examples in views.items()
            if number < count
        }
        parts = {view: examples for view, examples in parts.items() if examples}
        idle = [view for view in views if view not in parts] if self.sharded else []
        logp = self.reference_logp
        return {
            "number": number,
            "views": {view: self.collator(examples) for view, examples in parts.items()},
            "idle": {view: self.collator(views[view][:1]) for view in idle},
            "reference_logp": {
                view: logp.of(parts[view]) for view in self.method.reference_logp if logp and view in parts
            },
        }

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any) -> torch.Tensor:
        """Accumulate the gradient of one planned step; a loss that is not finite ends training instead."""
        inputs = unpacked(inputs)
        model.train()
        policy = model if self.sharded else self.accelerator.unwrap_model(model)
        if self._last_good is None:
            self._last_good = _snapshot(policy)
        means, counts = self._run_passes(policy, inputs, train=True)
        self._end_step(policy, finite=all(map(math.isfinite, means.values())))
        rate = self.lr_scheduler.get_last_lr()[0] if self.lr_scheduler else None
        self.state.log_history.append(
            {
                "step": self.state.global_step + 1,
                "epoch": self.epochs[min(self.state.global_step, len(self.epochs) - 1)],
                **means,
                "gradient_norm": None,
                "learning_rate": rate,
                **counts,
            }
        )
        return torch.tensor(means["loss"], device=self.args.device)

    def _run_passes(
        self, model: torch.nn.Module, inputs: dict[str, Any], *, train: bool
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Loss and CE by view of a planned step, and what these are means of; `train`: add up the gradient, too."""
        totals = dict(zip(inputs["totals"], self._sum(list(inputs["totals"].values())), strict=True))
        means = dict.fromkeys(["loss", *totals], 0.0)
        for part in inputs["passes"]:
            torch.manual_seed(derive_seed(self.args.seed, self.state.global_step, part["number"]))
            loss, views = self._forward(model, self._prepare_inputs(part), totals)
            means["loss"] += loss.item()
            for name, view in views.items():
                means[name] += view.cross_entropy.item()
            if train:
                self._backward(loss, last=part is inputs["passes"][-1])
        means = dict(zip(means, self._sum(list(means.values())), strict=True))
        return means, {
            "average": self._average,
            "tokens": {view: tokens for view, (tokens, _) in totals.items()},
            "samples": {view: samples for view, (_, samples) in totals.items()},
        }

    def _forward(
        self, model: torch.nn.Module, part: dict[str, Any], totals: Mapping[str, list[int]]
    ) -> tuple[torch.Tensor, dict[str, View]]:
        """Loss and views of a pass; idle views are run and count 0."""
        bare = self.accelerator.unwrap_model(model)
        views, nothing = {}, []
        for name in totals:
            batch = part["views"].get(name, part["idle"].get(name))
            if batch is None:
                continue
            batch = self.collator.with_features(batch)
            logits, labels = forward(model, batch)
            reference = reference_logits(bare, model, batch) if name in self.method.reference else None
            if name in part["idle"]:
                nothing.append(0.0 * logits.sum())
                continue
            logp = part["reference_logp"].get(name)
            views[name] = View(logits, labels, *totals[name], reference, logp, self._average)
        loss = self.method.loss(views) if views else 0.0
        return sum(nothing, start=loss), views

    def _backward(self, loss: torch.Tensor, *, last: bool) -> None:
        if not self.sharded:
            self.accelerator.backward(loss)
            return
        self.accelerator.gradient_state._set_sync_gradients(last)
        options = {"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}
        self.accelerator.backward(loss * self.args.world_size, **options)

    def _sum(self, values: list[Any]) -> list[Any]:
        """Sums of the values of all processes, float32 where they are several."""
        if self.args.world_size == 1:
            return values
        return self.accelerator.reduce(torch.tensor(values, device=self.args.device), "sum").tolist()

    def _end_step(self, policy: torch.nn.Module, *, finite: bool) -> None:
        """Sum the gradients of all processes; abandon the step where anything is not finite in any of them."""
        if self.args.world_size > 1 and not self.sharded:
            self._sum_gradients(policy)
        finite = finite and _finite_gradients(policy)
        agreed, requests = self._sum([float(finite), float(bool(self.request))])
        self.interrupted = requests > 0  # in all processes after the same step
        if agreed == self.args.world_size:
            self._last_good = _snapshot(policy)
        else:
            self._abandon(policy)

    def _sum_gradients(self, policy: torch.nn.Module) -> None:
        """Give every process the sum of all gradients, in one exchange; a process without a pass adds zeros."""
        trained = list(trainable_parameters(policy).values())
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        parts = self.accelerator.reduce(flat, "sum").split([p.numel() for p in trained])
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

    def step_folder(self, step: int) -> Path:
        """Where the policy after one of `steps` lies; a rerun finds it there."""
        return Path(self.args.output_dir) / f"step-{step}"

    def save_policy(self, folder: Path, *, recorded: bool = False) -> None:
        """Write the policy's adapter by `save_adapter`; every process must call this, the first one writes."""
        state = self.accelerator.get_state_dict(self.model_wrapped) if self.sharded else None
        if self.is_world_process_zero():
            save_adapter(self.accelerator.unwrap_model(self.model), folder, state, recorded=recorded)

    def _save_checkpoint(self, *arguments: Any) -> None:
        """Half a checkpoint goes at once: it takes the room that a full disk lacks."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with full_disk_named(folder):
                super()._save_checkpoint(*arguments)
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint holds the policy, and what it goes back to; the frozen reference has a folder of its own."""
        if not self.args.should_save:
            return
        model = self.accelerator.unwrap_model(self.model)
        model.save_pretrained(output_dir, selected_adapters=[POLICY], state_dict=state_dict)
        if self._last_good is not None and not self.sharded:
            write_last_good(Path(output_dir), self._last_good)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: a planned step is no single forward pass."""
        return 0

    def run(self) -> list[dict[str, float | None]]:
        """Train, from the last complete checkpoint if there is one.

        Returns:
            One row a step tried: its number, the loss and the CE of every view of the step, None where not finite. None
            where the run's rule ends it before the first step.

        Raises:
            Stopped: a signal asked for it before the end; the step was ended and has a checkpoint.
        """
        with PartialState().main_process_first():  # it removes what is not whole
            checkpoint = last_checkpoint(Path(self.args.output_dir), self._read_checkpoint)
        if self._run.checks_start and not checkpoint and (reason := self._reason_at_start()):
            self.stop_reason = f"{reason} before step 1: nothing is trained"
            return []
        with deferring() as self.request:
            self._train(checkpoint and str(checkpoint))
        if self.interrupted:
            raise Stopped(self.request.number or signal.SIGTERM, self._progress())
        self.stop_reason = self.stop_reason or "all planned steps done"
        names = ("loss", *self.method.views)
        return [
            {"step": float(row["step"]), **{name: finite(row[name]) for name in names if name in row}}
            for row in self.state.log_history
            if "train_runtime" not in row
        ]

    def _read_checkpoint(self, checkpoint: Path) -> None:
        """See that a checkpoint is whole, and take from it what the policy goes back to."""
        self._last_good = None
        check_state(checkpoint)
        if not self.sharded:
            policy = self.accelerator.unwrap_model(self.model)
            read_adapter(policy, checkpoint, POLICY, CHECKPOINT_REMEDY)
            self._last_good = read_last_good(checkpoint, trainable_parameters(policy))

    def _train(self, checkpoint: str | None) -> None:
        try:
            self.train(resume_from_checkpoint=checkpoint)
        except BaseException as error:
            clear_frames(error.__traceback__)  # they hold the loader, without which its workers end
            raise

    def _reason_at_start(self) -> str | None:
        """What the stopping rule says of the first steps of the plan, as many as its window, if none of them trains."""
        rule, rows = self._run.stopping_rule, []
        model = self.accelerator.unwrap_model(self.model).to(self.args.device).eval()
        views = [view for view in VIEWS[self.method.watch] if view in self.method.views]
        with torch.no_grad(), self.accelerator.autocast():
            for step in self._run.plan[: rule.window]:
                inputs = self._collate([{view: step[view] for view in views if view in step}])
                means, counts = self._run_passes(model, inputs, train=False)
                rows.append(means | counts)
        return rule.reason(self.method.watch, rows, self.collator.vocabulary)

    def _progress(self) -> str:
        checkpoint = last_checkpoint(Path(self.args.output_dir))
        where = f"{checkpoint} is kept" if checkpoint else "there is no checkpoint yet"
        return f"after step {self.state.global_step} of {self.state.max_steps} {where}: {GO_ON}"


def _arguments(run: TrainingRun, folder: Path) -> TrainingArguments:
    loop = run.loop_settings
    arguments = TrainingArguments(
        output_dir=str(folder),
        run_name=run.run.folder,
        max_steps=len(run.plan),
        per_device_train_batch_size=1,
        learning_rate=loop.learning_rate,
        lr_scheduler_type=SCHEDULES.get(loop.schedule, loop.schedule),
        warmup_steps=loop.warmup_steps,
        weight_decay=loop.weight_decay,
        max_grad_norm=loop.max_grad_norm,
        seed=run.order_seed,
        save_strategy="steps",
        save_steps=run.save_steps,
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        dataloader_num_workers=run.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        bf16=run.precision == "bf16",
        activation_checkpointing=run.checkpointing,
        ddp_find_unused_parameters=False,  # gradients are summed in _sum_gradients
        ddp_broadcast_buffers=False,
        use_cpu=not torch.cuda.is_available(),
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs take several processes, not DataParallel
    return arguments


class _Steps(TrainerCallback):
    """After every step: trackers are told, wanted adapters saved, and training ends when the stopping rule says so.

    A step that ends training is never checkpointed: a job that is killed after it starts from an earlier one and
    comes to the same end.
    """

    def __init__(self, trainer: PlannedTrainer, run: TrainingRun, steps: Collection[int]) -> None:
        self._trainer, self._run, self._steps = trainer, run, set(steps)
        # the step after the last one shows whether the last one's loss is finite, and so its adapter sound
        self._last = max(self._steps, default=len(run.plan)) + 1

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer, rule = self._trainer, self._run.stopping_rule
        trainer.callback_handler.on_log(args, state, control, tracked(state.log_history[-1]))
        if state.global_step in self._steps and not trainer.discarded:
            trainer.save_policy(trainer.step_folder(state.global_step))
        if rule and not trainer.stop_reason:
            vocabulary = trainer.collator.vocabulary
            trainer.stop_reason = rule.reason(trainer.method.watch, state.log_history, vocabulary) or ""
        ends = bool(trainer.stop_reason) or state.global_step == self._last
        if ends or state.global_step == state.max_steps:
            trainer.interrupted = False  # what is left takes a moment, and no step has to be done again
        if ends:
            control.should_training_stop = True
            control.should_save = False
        elif trainer.interrupted:
            control.should_training_stop = control.should_save = True


def _snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainable_parameters(model).items()}


def _restore(model: torch.nn.Module, snapshot: Mapping[str, torch.Tensor]) -> None:
    for name, value in trainable_parameters(model).items():
        value.data.copy_(snapshot[name])


def _finite_gradients(model: torch.nn.Module) -> bool:
    gradients = [value.grad for value in trainable_parameters(model).values() if value.grad is not None]
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
