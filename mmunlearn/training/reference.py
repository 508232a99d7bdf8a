"""What the frozen reference model says: logits in the loop, or log-probabilities computed once and kept.

The reference is a second adapter on the policy's own base. Its log-probabilities never change, so for methods that
need nothing more (DPO, NPO) they are computed before training, and no reference model runs in the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from safetensors.torch import load_file, save_file

from mmunlearn.models.collate import forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import POLICY, REFERENCE, add_reference
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path, digest_of
from mmunlearn.training.losses import sequence_logp
from mmunlearn.training.schedule import Step

if TYPE_CHECKING:
    from mmunlearn.training.trainer import PlannedTrainer

Key = tuple[str, str, str]
TURNS = 8  # questions behind one image prefix
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceLogp:
    """The reference's summed log-probability of every (image, question, answer)."""

    values: Mapping[Key, float]

    def of(self, examples: Iterable[Example]) -> torch.Tensor:
        """(Q,) float32, in the order of the questions."""
        return torch.tensor([self.values[key] for key in keys_of(examples)], dtype=torch.float32)


def keys_of(examples: Iterable[Example]) -> list[Key]:
    """(image, question, answer) of every question, in order."""
    return [(one.image_id, *turn) for one in examples for turn in one.turns]


def reference_logp(
    trainer: PlannedTrainer,
    plan: Sequence[Step],
    views: Sequence[str],
    *,
    folder: Path,
    identity: Sequence[str],
    adapter: Path | None = None,
) -> ReferenceLogp:
    """Log-probabilities of every question of these views, from `folder` where they are already kept there.

    Args:
        trainer: before it trains; its policy still is the finetuned model.
        identity: what the numbers rest on besides the questions: digests of base, adapter and features.
        adapter: folder of the reference's adapter; None: the policy as it is.
    """
    keys = sorted({key for step in plan for view in views for key in keys_of(step.get(view, ()))})
    path = folder / f"{digest_of([list(identity), keys])}.safetensors"
    known = _read(path, len(keys))
    if known is None:
        known = _compute(trainer, keys, adapter)
        if trainer.is_world_process_zero():
            with atomic_path(path) as temporary:
                save_file({"logp": known}, temporary)
    return ReferenceLogp(dict(zip(keys, known.tolist(), strict=True)))


def _read(path: Path, count: int) -> torch.Tensor | None:
    try:
        known = load_file(path)["logp"]
    except FileNotFoundError:
        return None
    except Exception as error:
        logger.warning("%s cannot be read and is made again (%s)", path, error)
        return None
    return known if len(known) == count else None


def _compute(trainer: PlannedTrainer, keys: Sequence[Key], adapter: Path | None) -> torch.Tensor:
    """(N,) float32 in the order of the keys; the processes share the work."""
    model, device = trainer.accelerator.unwrap_model(trainer.model), trainer.args.device
    home = next(model.parameters()).device
    model.to(device)
    rank, world = trainer.args.process_index, trainer.args.world_size
    own: dict[Key, float] = {}
    batches = list(_batches(keys, questions=max(TURNS, 2 * trainer.settings.batch)))[rank::world]
    if adapter is not None:
        add_reference(model, adapter)
    asked = _as_reference(model) if adapter is not None else nullcontext()
    with asked, torch.no_grad(), trainer.accelerator.autocast():
        model.eval()
        for examples in progress(batches, "reference log-probabilities", unit="batch"):
            batch = trainer._prepare_inputs(trainer.collator(examples))
            logp = sequence_logp(*forward(model, batch))
            own.update(zip(keys_of(examples), logp.tolist(), strict=True))
    if adapter is not None:
        model.delete_adapter(REFERENCE)
        model.set_adapter(POLICY)
    model.to(home)
    gathered = gather_object([own]) if world > 1 else [own]
    merged = {key: value for part in gathered for key, value in part.items()}
    logger.info("%d reference log-probabilities", len(merged))
    return torch.tensor([merged[key] for key in keys], dtype=torch.float32)


def _batches(keys: Iterable[Key], questions: int) -> Iterator[list[Example]]:
    """Lists of examples with at most so many questions, of an image up to TURNS behind one prefix."""
    turns: dict[str, list[tuple[str, str]]] = {}
    for image, question, answer in keys:
        turns.setdefault(image, []).append((question, answer))
    batch: list[Example] = []
    for image, own in turns.items():
        for start in range(0, len(own), TURNS):
            example = Example(image, tuple(own[start : start + TURNS]))
            if sum(len(one.turns) for one in batch) + len(example.turns) > questions:
                yield batch
                batch = []
            batch.append(example)
    if batch:
        yield batch


@contextmanager
def _as_reference(model: PeftModel) -> Iterator[None]:
    """The frozen adapter answers inside the block, without dropout."""
    training = model.training
    model.set_adapter(REFERENCE, inference_mode=True)
    model.eval()
    try:
        yield
    finally:
        model.set_adapter(POLICY)
        model.train(training)


def reference_logits(model: PeftModel, wrapped: torch.nn.Module, batch: Mapping[str, object]) -> torch.Tensor:
    """(Q, T, V) of the frozen adapter, without gradient; `wrapped` is what the forward pass goes through."""
    with torch.no_grad(), _as_reference(model):
        return forward(wrapped, batch)[0]
