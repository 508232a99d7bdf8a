"""The frozen reference model: its logits in the loop, or its log-probabilities, computed once and stored.

The reference is a second adapter on the policy's own base. Its log-probabilities never change, so for methods that
need nothing more (DPO, NPO) they are computed before training, and no reference model runs in the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from safetensors.torch import save_file
from transformers import Trainer

from mmunlearn.ahead import ahead
from mmunlearn.models.collate import Collator, forward
from mmunlearn.models.example import Example
from mmunlearn.models.loading import POLICY, REFERENCE, add_reference
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path, digest_of, sha256_of
from mmunlearn.training.adapters import WEIGHTS
from mmunlearn.training.losses import sequence_logp
from mmunlearn.training.run import TrainingRun
from mmunlearn.weights.errors import WeightsError
from mmunlearn.weights.tensors import read_tensors

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


def reference_logp(trainer: Trainer, run: TrainingRun, collator: Collator) -> ReferenceLogp:
    """Log-probabilities of all questions of a plan that the run's method needs them of.

    They stay in a file below `run.work`, whose name is a digest of the questions and all that the numbers rest on.

    Args:
        trainer: before it trains; its policy still is the adapter that the run starts from.
    """
    views, spec = run.method.reference_logp, run.model_spec
    keys = sorted({key for step in run.plan for view in views for key in keys_of(step.get(view, ()))})
    weights = sha256_of(run.reference / WEIGHTS)
    identity = [*run.base_digests, weights, run.precision, spec.dtype, spec.attention]
    path = run.work / "reference_logp" / f"{digest_of([identity, keys])}.safetensors"
    values = _read(path, len(keys))
    if values is None:
        adapter = None if run.reference == run.start else run.reference
        batches = list(_batches(keys, questions=max(TURNS, 2 * run.loop_settings.batch)))
        by_key = _compute(trainer, collator, batches, adapter)
        values = torch.tensor([by_key[key] for key in keys], dtype=torch.float32)
        if trainer.is_world_process_zero():
            with atomic_path(path) as temporary:
                save_file({"logp": values}, temporary)
    return ReferenceLogp(dict(zip(keys, values.tolist(), strict=True)))


def _read(path: Path, count: int) -> torch.Tensor | None:
    try:
        return read_tensors(path, {"logp": (count,)}, "it is made again")["logp"]
    except FileNotFoundError:
        return None
    except WeightsError as error:
        logger.warning("%s", error)
        return None


def _compute(
    trainer: Trainer, collator: Collator, batches: Sequence[list[Example]], adapter: Path | None
) -> dict[Key, float]:
    """By question; the processes share the work. `adapter`: folder of the reference, None: the policy as it is."""
    model, device = trainer.accelerator.unwrap_model(trainer.model), trainer.args.device
    home = next(model.parameters()).device
    model.to(device)
    rank, world = trainer.args.process_index, trainer.args.world_size
    values: dict[Key, float] = {}
    if adapter is not None:
        add_reference(model, adapter)
    answering = _as_reference(model) if adapter is not None else nullcontext()
    share = batches[rank::world]
    laid_out = closing(ahead(collator, share))
    with answering, laid_out as ready, torch.no_grad(), trainer.accelerator.autocast():
        model.eval()
        for examples in progress(share, "reference log-probabilities", unit="batch"):
            batch = collator.with_features(trainer._prepare_inputs(next(ready)))
            logp = sequence_logp(*forward(model, batch))
            values.update(zip(keys_of(examples), logp.tolist(), strict=True))
    if adapter is not None:
        model.delete_adapter(REFERENCE)
        model.set_adapter(POLICY)
    model.to(home)
    parts = gather_object([values]) if world > 1 else [values]
    merged = {key: value for part in parts for key, value in part.items()}
    logger.info("%d reference log-probabilities", len(merged))
    return merged


def _batches(keys: Iterable[Key], questions: int) -> Iterator[list[Example]]:
    """Lists of examples with at most so many questions, of an image up to TURNS behind one prefix."""
    turns: dict[str, list[tuple[str, str]]] = {}
    for image, question, answer in keys:
        turns.setdefault(image, []).append((question, answer))
    batch: list[Example] = []
    for image, of_image in turns.items():
        for start in range(0, len(of_image), TURNS):
            example = Example(image, tuple(of_image[start : start + TURNS]))
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
