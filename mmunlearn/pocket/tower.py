"""Stage A: the vision tower learns to see, taught by the renderer's own truth.

A single linear layer, thrown away afterwards, reads every attribute, object, place and name from every patch.
Real LLaVA pretraining has no such teacher: its tower comes from image-text pairs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from mmunlearn.pocket.architecture import PIXEL_MEAN, PIXEL_STD
from mmunlearn.pocket.backdrops import GROUNDS, SKIES
from mmunlearn.pocket.identities import ATTRIBUTES
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining_data import Annotation, Pool
from mmunlearn.pocket.scenes import Box
from mmunlearn.pocket.worlds import PretrainingWorld
from mmunlearn.progress import progress

if TYPE_CHECKING:
    import torch
    from transformers import LlavaForConditionalGeneration

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")

SHARDS = 2
"""Parts of a batch whose gradients are computed apart and averaged."""

ABSENT = -100
"""Class of a patch about which there is nothing to say."""


class StageSettings(BaseModel):
    """One stage of training with AdamW, a linear warm-up and a cosine decay to 2% of the rate.

    Attributes:
        steps: optimiser steps.
        batch: pictures a step.
        rate: highest learning rate.
        weight_decay: of AdamW.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    batch: int
    rate: float
    weight_decay: float


class TowerSettings(StageSettings):
    """Stage A; ``object_weight`` multiplies the objects' loss, ``present_weight`` patches that show one."""

    object_weight: float
    present_weight: float


def optimise(
    name: str,
    settings: StageSettings,
    weights: list[torch.nn.Parameter],
    draw: Callable[[int], Batch],
    loss_of: Callable[[Batch], torch.Tensor],
    threads: int,
) -> None:
    """Train ``weights`` on freshly drawn batches, gradients clipped to norm 1.

    Every batch is split into ``SHARDS`` whose gradients are averaged. Each is computed by one thread, so the
    result does not depend on the number of threads and two cores do nearly twice the work of one.

    Args:
        name: of the stage, for progress and log.
        settings: steps, batch and rate.
        weights: what is trained.
        draw: makes a batch of the given number of pictures; called in order.
        loss_of: the loss of one such batch; called from several threads at once.
        threads: how many shards are worked on at the same time.
    """
    import torch

    def gradients(batch: Batch) -> tuple[float, tuple[torch.Tensor, ...]]:
        loss = loss_of(batch)
        return loss.item(), torch.autograd.grad(loss, weights, materialize_grads=True)

    torch.set_num_threads(1)
    optimiser = torch.optim.AdamW(
        weights, lr=settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    warmup, smooth = max(1, min(50, settings.steps // 10)), 0.0
    with ThreadPoolExecutor(threads) as pool:
        for step in progress(range(settings.steps), name, unit="step"):
            decay = 0.51 + 0.49 * math.cos(math.pi * step / settings.steps)
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * min(1.0, (step + 1) / warmup) * decay
            batches = [draw(settings.batch // SHARDS) for _ in range(SHARDS)]
            losses, slopes = zip(*pool.map(gradients, batches), strict=True)
            for weight, *parts in zip(weights, *slopes, strict=True):
                weight.grad = sum(parts) / SHARDS
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            smooth += (sum(losses) / SHARDS - smooth) / min(step + 1, 50)
            if (step + 1) % 100 == 0 or step + 1 == settings.steps:
                logger.info("%s: step %d of %d, loss %.3f", name, step + 1, settings.steps, smooth)


def normalise(pixels: np.ndarray) -> torch.Tensor:
    """Turn uint8 (N, side, side, 3) into the float32 (N, 3, side, side) that the processor hands the model."""
    import torch

    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return (scaled - PIXEL_MEAN) / PIXEL_STD


class PatchTruth:
    """What every patch of a pool's pictures shows, as class numbers.

    Attributes:
        classes: name of each question about a patch -> its possible answers, in order.
        labels: int64 (N, questions); the picture's answer to each question, or ``ABSENT``.
        where: bool (N, patches, 2); patches of the head, patches not hidden by a person.
        objects: bool (N, patches, objects); patches that an object's box reaches into.
    """

    def __init__(self, annotations: list[Annotation], world: PretrainingWorld, grid: int) -> None:
        self.classes = {
            "sky": list(SKIES),
            "ground": list(GROUNDS),
            "entity": list(world.entities),
            **{name: list(values) for name, values in ATTRIBUTES.items()},
            "figure": list(world.figures),
        }
        self.grid = grid
        self.labels = np.array([self._labels(picture) for picture in annotations], np.int64)
        self.where = np.stack([self._where(picture) for picture in annotations])
        self.objects = np.stack([self._objects(picture) for picture in annotations])

    @property
    def outputs(self) -> int:
        """Classes of all questions and objects together."""
        return sum(len(values) for values in self.classes.values()) + len(OBJECTS)

    def seen_at(self, name: str) -> int:
        """Which of ``where`` holds the patches that answer a question: 0 the head, 1 the rest."""
        return 0 if name in ATTRIBUTES or name == "figure" else 1

    def mirror(self, patches: np.ndarray) -> np.ndarray:
        """Mirror (B, patches, ...) from left to right."""
        square = patches.reshape(len(patches), self.grid, self.grid, -1)
        return square[:, :, ::-1].reshape(patches.shape)

    def _labels(self, picture: Annotation) -> list[int]:
        labels = {"entity": picture.entity, "figure": picture.figure}
        labels = {name: value for name, value in labels.items() if value is not None}
        if picture.scene:
            labels |= {"sky": picture.scene.sky, "ground": picture.scene.ground}
        if picture.identity:
            labels |= {name: getattr(picture.identity, name) for name in ATTRIBUTES}
        return [
            values.index(labels[name]) if name in labels else ABSENT for name, values in self.classes.items()
        ]

    def _where(self, picture: Annotation) -> np.ndarray:
        head, hidden = self._covered(picture.head_box) >= 0.5, self._covered(picture.person_box) >= 0.5
        return np.stack([head, ~hidden], 1)

    def _objects(self, picture: Annotation) -> np.ndarray:
        names = list(OBJECTS)
        patches = np.zeros((self.grid**2, len(names)), bool)
        for placement in picture.placements:
            patches[:, names.index(placement.name)] |= self._covered(placement.box) >= 0.2
        return patches

    def _covered(self, box: Box | None) -> np.ndarray:
        """Part of every patch that a box covers, float (patches,), row by row."""
        if box is None:
            return np.zeros(self.grid**2)
        edge = np.arange(self.grid)
        x0, y0, x1, y1 = (side * self.grid for side in box)
        across = np.clip(np.minimum(edge + 1, x1) - np.maximum(edge, x0), 0, 1)
        down = np.clip(np.minimum(edge + 1, y1) - np.maximum(edge, y0), 0, 1)
        return np.outer(down, across).reshape(-1)


def train_tower(
    model: LlavaForConditionalGeneration,
    pool: Pool,
    world: PretrainingWorld,
    settings: TowerSettings,
    seed: int,
    threads: int,
) -> torch.nn.Linear:
    """Train the vision tower of ``model`` in place on the truth of every patch.

    Args:
        model: whose tower learns.
        pool: training pictures; a batch is mirrored half of the time.
        world: names the classes.
        settings: steps, batch, rate and weights.
        seed: draws batches and mirrorings; the global torch seed decides the reading layer.
        threads: how many work at the same time; the result does not depend on it.

    Returns:
        The reading layer, for measurements only.
    """
    import torch

    tower, vision = model.model.vision_tower, model.config.vision_config
    truth = PatchTruth(pool.annotations, world, vision.image_size // vision.patch_size)
    reader = torch.nn.Linear(vision.hidden_size, truth.outputs)
    rng = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, bool]:
        return rng.integers(len(pool.annotations), size=count), rng.random() < 0.5

    def loss_of(batch: tuple[np.ndarray, bool]) -> torch.Tensor:
        rows, mirrored = batch
        pixels, where, objects = pool.pixels[rows], truth.where[rows], truth.objects[rows]
        if mirrored:
            pixels, where, objects = pixels[:, :, ::-1], truth.mirror(where), truth.mirror(objects)
        logits = reader(tower(normalise(pixels)).last_hidden_state[:, 1:])
        return patch_loss(logits, truth, truth.labels[rows], where, objects, settings)

    optimise("tower", settings, [*tower.parameters(), *reader.parameters()], draw, loss_of, threads)
    return reader


def patch_loss(
    logits: torch.Tensor,
    truth: PatchTruth,
    labels: np.ndarray,
    where: np.ndarray,
    objects: np.ndarray,
    settings: TowerSettings,
) -> torch.Tensor:
    """Add the cross-entropies of all questions about patches and the objects' binary cross-entropy.

    Args:
        logits: float32 (B, patches, outputs) of the reading layer.
        truth: names the outputs.
        labels, where, objects: the batch's rows of ``truth``.
        settings: weights of the objects.
    """
    import torch
    from torch.nn import functional

    places, answers = torch.from_numpy(where.copy()), torch.from_numpy(labels)
    total, start = torch.zeros(()), 0
    for number, (name, values) in enumerate(truth.classes.items()):
        part = places[..., truth.seen_at(name)] & (answers[:, number] != ABSENT)[:, None]
        if part.any():
            scores = logits[..., start : start + len(values)][part]
            total = total + functional.cross_entropy(scores, answers[:, number, None].expand_as(part)[part])
        start += len(values)
    visible = places[..., 1]
    present = functional.binary_cross_entropy_with_logits(
        logits[..., start:][visible],
        torch.from_numpy(objects.copy())[visible].float(),
        pos_weight=torch.tensor(settings.present_weight),
        reduction="sum",
    )
    return total + settings.object_weight * present / visible.sum()
