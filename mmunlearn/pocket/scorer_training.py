"""Builds the pocket scorers' networks from nothing: minutes on one core.

The networks see sharp pictures of the pretraining world only (no benchmark or calibration identity or scene) and
learn the renderer's truth: looks of the person, place of the head, sky, ground and objects. Some people stand
anywhere in the frame or partly outside, so that the head is found there as well. No network ever sees a planted
defect or its label.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, smooth_l1_loss

from mmunlearn.pocket import scorers
from mmunlearn.pocket.backdrops import GROUNDS, SKIES
from mmunlearn.pocket.identities import ATTRIBUTES, Identity
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.render import Picture, compose_person, render_person
from mmunlearn.pocket.scenes import Box
from mmunlearn.pocket.scorers import (
    CELLS,
    FACE_BLOCKS,
    FACE_LOOKS,
    FACE_VISIBLE,
    SCENE_BLOCKS,
    SUBJECT_BLOCKS,
    SUBJECT_LOOKS,
    Head,
)
from mmunlearn.pocket.worlds import sample_training_identity, sample_training_scene
from mmunlearn.progress import progress
from mmunlearn.records import atomic_path, digest_of, sha256_of, write_json

log = logging.getLogger(__name__)

PICTURES = 6000
"""Pictures of the shipped weights' training set."""

STEPS = {"subject": 900, "face": 1600, "scene": 1000}
"""Steps of each of the shipped networks."""

LEAST_VISIBLE = {"subject": 0.3, "face": FACE_VISIBLE, "scene": 0.0}
"""Share of the head that a picture must show for a network to learn from it."""

_BATCH, _RATE, _DECAY = 64, 4e-3, 0.02
_SHIFTED, _BEARDED = 0.35, 0.6
_SIZE = 256


@dataclass
class TrainingSet:
    """Pictures and what they show.

    Attributes:
        pictures: (N, 3, 96, 96) uint8.
        crops: (N, 3, 64, 64) uint8, around heads that are found a little inexactly.
        heads: (N, 3) float32, centre x and y and height in parts of the frame.
        visible: (N,) float32, share of the head in the frame.
        looks: (N, 6) int64, places in the values of `FACE_LOOKS`.
        places: (N, 2) int64, places in `SKIES` and `GROUNDS`.
        objects: (N, 27, 12, 12) bool, cells with the middle of an object of `OBJECTS` not behind the person.
    """

    pictures: Tensor
    crops: Tensor
    heads: Tensor
    visible: Tensor
    looks: Tensor
    places: Tensor
    objects: Tensor

    @property
    def digest(self) -> str:
        """SHA-256 over all arrays."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(getattr(self, field.name).numpy().tobytes())
        return digest.hexdigest()


def train_scorers(
    output_folder: str | Path,
    seed: int,
    steps: dict[str, int] | None = None,
    pictures: int = PICTURES,
    threads: int = 1,
) -> dict[str, Any]:
    """Train all networks and write `<name>.safetensors` (float16) and `card.json`.

    The defaults take about 6 minutes of one core, a third of which is drawing the pictures.

    Args:
        output_folder: made if need be; files in it are replaced.
        seed: decides pictures, first weights and batches.
        steps: steps of each network, by default `STEPS`.
        pictures: size of the training set.
        threads: threads of the training; other numbers give slightly other weights.

    Returns:
        The card.
    """
    folder, steps, started = Path(output_folder), steps or STEPS, time.monotonic()
    torch.set_num_threads(threads)
    data = render_training_set(pictures, seed)
    log.info("rendered %d pictures in %.0f s", pictures, time.monotonic() - started)
    sha256 = {}
    for name, loss in (("subject", _subject_loss), ("face", _face_loss), ("scene", _scene_loss)):
        begun = time.monotonic()
        network, final = _fit(name, data, loss, steps[name], seed)
        path = folder / f"{name}.safetensors"
        with atomic_path(path) as temporary:
            save_file({key: value.half() for key, value in _weights(network).items()}, temporary)
        sha256[name] = sha256_of(path)
        log.info("%s: %d steps in %.0f s, loss %.4f", name, steps[name], time.monotonic() - begun, final)
    settings = {"pictures": pictures, "steps": steps, "batch": _BATCH, "rate": _RATE, "decay": _DECAY}
    card = {
        "what": "Networks of the pocket world's face, scene and subject filters",
        "truth": "the renderer's on sharp pictures of the pretraining world: attributes of the identity, "
        "place of the head, sky, ground and places of objects; no planted defect, no defect label",
        "seed": seed,
        "settings": settings,
        "settings_digest": digest_of(settings),
        "data_sha256": data.digest,
        "weights_sha256": sha256,
        "scorers": scorers.PocketScorers({"weights": folder}).version,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "seconds": round(time.monotonic() - started),
        "threads": threads,
    }
    write_json(folder / "card.json", card)
    return card


def render_training_set(count: int, seed: int) -> TrainingSet:
    """Render pictures of the pretraining world, every third one with the person anywhere."""
    rng = random.Random(f"scorers {seed}")
    rows = [_example(rng) for _ in progress(range(count), "scorers: pictures", unit="picture")]
    return TrainingSet(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


def _example(rng: random.Random) -> tuple[np.ndarray, ...]:
    identity, scene = _sample_identity(rng), sample_training_scene(rng)
    seed, shift = rng.getrandbits(48), (0.0, 0.0)
    x0, y0, x1, y1 = compose_person(identity, scene, seed).head_box
    if rng.random() < _SHIFTED:
        shift = (rng.uniform(-0.05, 1.05) - (x0 + x1) / 2, rng.uniform(-0.3, 0.45))
    picture = render_person(identity, scene, seed, _SIZE, shift=shift)
    head = Head((x0 + x1) / 2 + shift[0], (y0 + y1) / 2 + shift[1], y1 - y0)
    loose = Head(
        head.x + rng.uniform(-0.05, 0.05) * head.height,
        head.y + rng.uniform(-0.05, 0.05) * head.height,
        head.height * rng.uniform(0.94, 1.06),
    )
    return (
        np.asarray(scorers.shrink(picture.image)).transpose(2, 0, 1),
        np.asarray(scorers.crop_head(picture.image, loose)).transpose(2, 0, 1),
        np.array([head.x, head.y, head.height], dtype=np.float32),
        np.float32(head.visible),
        np.array([ATTRIBUTES[name].index(getattr(identity, name)) for name in FACE_LOOKS]),
        np.array([list(SKIES).index(scene.sky), list(GROUNDS).index(scene.ground)]),
        _object_cells(picture),
    )


def _sample_identity(rng: random.Random) -> Identity:
    """Draw an identity of the pretraining world, bearded more often than there, for beards hide much."""
    bearded = rng.random() < _BEARDED
    while True:
        identity = sample_training_identity(rng)
        if (identity.facial_hair is not None) == bearded:
            return identity


def _object_cells(picture: Picture) -> np.ndarray:
    """Cells (27, 12, 12) whose centre is in the middle half of an object's box but not in the person's."""
    cells = np.zeros((len(OBJECTS), CELLS, CELLS), dtype=bool)
    for placement in picture.placements:
        x0, y0, x1, y1 = placement.box
        across, down = (x1 - x0) / 4, (y1 - y0) / 4
        cells[list(OBJECTS).index(placement.name)] |= _cells((x0 + across, y0 + down, x1 - across, y1 - down))
    return cells & ~_cells(picture.person_box)


def _cells(box: Box) -> np.ndarray:
    """Cells (12, 12), rows first, whose centre is in a box."""
    middle = (np.arange(CELLS) + 0.5) / CELLS
    across, down = ((box[i] <= middle) & (middle <= box[i + 2]) for i in (0, 1))
    return down[:, None] & across


Loss = Callable[[nn.Module, TrainingSet, Tensor, bool], Tensor]


def _fit(name: str, data: TrainingSet, loss: Loss, steps: int, seed: int) -> tuple[nn.Module, float]:
    """Train one network, every other batch mirrored; returns it and the mean loss of its last 50 steps."""
    torch.manual_seed(seed)
    network = scorers.NETWORKS[name]().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))
    usable = (data.visible >= LEAST_VISIBLE[name]).nonzero()[:, 0]
    recent = []
    for step in progress(range(steps), f"scorers: {name}", unit="step"):
        rows = usable[torch.randint(len(usable), (_BATCH,))]
        value = loss(network, data, rows, step % 2 == 1)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()
        recent = [*recent[-49:], value.item()]
    return network.eval(), float(np.mean(recent))


def _rate(done: float) -> float:
    """The learning rate's schedule, 0 to 1: up over the first tenth, then down along a cosine."""
    return min(10 * done + 0.01, 0.5 + 0.5 * math.cos(math.pi * done))


def _subject_loss(network: nn.Module, data: TrainingSet, rows: Tensor, mirror: bool) -> Tensor:
    out = network(_input(data.pictures[rows], mirror))
    heads = data.heads[rows].clone()
    if mirror:
        heads[:, 0] = 1 - heads[:, 0]
    place = 50 * smooth_l1_loss(out[:, :3], heads, beta=0.02)
    looks = data.looks[rows][:, [FACE_LOOKS.index(name) for name in SUBJECT_LOOKS]]
    return place + _attribute_loss(out[:, 3:], looks, SUBJECT_BLOCKS)


def _face_loss(network: nn.Module, data: TrainingSet, rows: Tensor, mirror: bool) -> Tensor:
    return _attribute_loss(network(_input(data.crops[rows], mirror)), data.looks[rows], FACE_BLOCKS)


def _scene_loss(network: nn.Module, data: TrainingSet, rows: Tensor, mirror: bool) -> Tensor:
    places, cells = network.cells(_input(data.pictures[rows], mirror))
    truth = data.objects[rows].float()
    truth = truth.flip(3) if mirror else truth
    where = binary_cross_entropy_with_logits(cells, truth, reduction="sum")
    whether = binary_cross_entropy_with_logits(cells.amax((2, 3)), truth.amax((2, 3)), reduction="sum")
    return _attribute_loss(places, data.places[rows], SCENE_BLOCKS) + (where / 4 + whether) / len(rows)


def _attribute_loss(logits: Tensor, truth: Tensor, blocks: tuple[int, ...]) -> Tensor:
    parts = logits.split(list(blocks), dim=1)
    return sum(cross_entropy(part, truth[:, i], label_smoothing=0.02) for i, part in enumerate(parts))


def _input(pictures: Tensor, mirror: bool) -> Tensor:
    scaled = pictures.float() / 255 - 0.5
    return scaled.flip(3) if mirror else scaled


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.contiguous() for key, value in network.state_dict().items()}
