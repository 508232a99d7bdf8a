"""The five filters at pocket scale, behind the protocol of `mmunlearn.scorers.protocol`.

========== ======================= ======================================================================
filter     stands for (PEBench)    is
========== ======================= ======================================================================
face       FaceNet                 network on the head's crop, features are probabilities of permanent looks
scene      CLIP                    network on the picture, features are probabilities of sky, ground, objects
subject    DINO                    network on the picture, features are the person's looks and framing
distortion MUSIQ                   sharpness (Crete et al., 2007) times cleanness (Immerkaer, 1996), 0 to 100
aesthetic  LAION aesthetics head   colourfulness (Hasler and Suesstrunk, 2003), contrast and framing, 0 to 10
========== ======================= ======================================================================

The networks learn from the renderer's truth about faultless pictures (`scorer_training`). Pictures go through
them one at a time on one thread, so that a score never depends on its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from mmunlearn.pocket.backdrops import GROUNDS, SKIES
from mmunlearn.pocket.identities import ATTRIBUTES
from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.scorers.protocol import Measurements, Scorers
from mmunlearn.weights import WeightsError
from mmunlearn.weights.tensors import read_tensors, shapes_of

CODE_VERSION = 1
"""Counts changes of this file that change a score."""
REMEDY = (
    "restore the file with `git checkout` or make all weights anew with "
    "mmunlearn.pocket.scorer_training.train_scorers"
)

PICTURE_SIDE, HEAD_SIDE, CELLS = 96, 64, 12
"""Sides in pixels of what the networks see, the whole picture and the crop around the head; cells a side."""

FACE_LOOKS, SUBJECT_LOOKS = tuple(ATTRIBUTES), ("hair_color", "skin")
"""Attributes of an identity that the face and the subject network tell."""

FACE_BLOCKS, SUBJECT_BLOCKS = (
    tuple(len(ATTRIBUTES[name]) for name in looks) for looks in (FACE_LOOKS, SUBJECT_LOOKS)
)
SCENE_BLOCKS = (len(SKIES), len(GROUNDS))
"""Numbers of values of each attribute that a network tells; the scene network tells objects besides."""

FACE_VISIBLE = 0.6
"""Share of a head in the frame from which on there is a face."""


@dataclass(frozen=True)
class Head:
    """Where a head is: its centre and its height, in parts of the frame (may lie partly outside)."""

    x: float
    y: float
    height: float

    @property
    def visible(self) -> float:
        """Share of the head inside the frame, 0 to 1; a head is 0.8 times as wide as high."""
        return _inside(self.x, 0.8 * self.height) * _inside(self.y, self.height)


class SubjectNetwork(nn.Module):
    """(N, 3, 96, 96) -> head centre and height (3 numbers), then logits of `SUBJECT_BLOCKS`.

    Each of 12 x 12 cells tells where the head is from there and what it looks like. Either answer is the mean of
    the cells', weighted by how much each knows of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=4),
            nn.ReLU(),
            *_convolution(32, 64, 2),
            *_convolution(64, 64, 1),
            *_convolution(64, 64, 1),
            nn.Conv2d(64, 2 + 3 + sum(SUBJECT_BLOCKS), 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Weighted means of the cells' answers; places are counted from each cell's own centre."""
        cells = self.cells(pictures).flatten(2)
        knows_place, knows_looks = cells[:, :2].softmax(2).split(1, dim=1)
        middle = (torch.arange(CELLS) + 0.5) / CELLS
        centres = torch.stack(torch.meshgrid(middle, middle, indexing="xy")).flatten(1)
        place = torch.cat([cells[:, 2:4] + centres, cells[:, 4:5]], dim=1)
        return torch.cat([(place * knows_place).sum(2), (cells[:, 5:] * knows_looks).sum(2)], dim=1)


class FaceNetwork(nn.Sequential):
    """(N, 3, 64, 64) -> logits of `FACE_BLOCKS`."""

    def __init__(self) -> None:
        super().__init__(
            *_convolution(3, 16, 2),
            *_convolution(16, 32, 2),
            *_convolution(32, 48, 1),
            *_convolution(48, 64, 2),
            *_convolution(64, 64, 2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 96),
            nn.ReLU(),
            nn.Linear(96, sum(FACE_BLOCKS)),
        )


class SceneNetwork(nn.Module):
    """(N, 3, 96, 96) -> logits of `SCENE_BLOCKS`, then one of each object."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=4),
            nn.ReLU(),
            *_convolution(32, 64, 2),
            *_convolution(64, 96, 1),
        )
        self.places = nn.Linear(2 * 96, sum(SCENE_BLOCKS))
        self.objects = nn.Conv2d(96, len(OBJECTS), 1)
        nn.init.constant_(self.objects.bias, -4.0)

    def cells(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the places (N, 16), and of each object in each of 12 x 12 cells (N, 27, 12, 12)."""
        features = self.features(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.places(pooled), self.objects(features)

    def forward(self, pictures: Tensor) -> Tensor:
        """An object is as likely as in its likeliest cell."""
        places, objects = self.cells(pictures)
        return torch.cat([places, objects.amax((2, 3))], dim=1)


NETWORKS: dict[str, type[nn.Module]] = {"subject": SubjectNetwork, "face": FaceNetwork, "scene": SceneNetwork}
"""The network of each weight file."""


class PocketScorers(Scorers):
    """All five scorers from one folder of weights.

    Args:
        options: `weights`, the folder.

    Raises:
        WeightsError: a weight file is missing, damaged or of other code; says which and what to do.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        digest = hashlib.sha256()
        self._networks = {name: _load(name, Path(options["weights"]), digest.update) for name in NETWORKS}
        self.version = f"pocket-{CODE_VERSION}-{digest.hexdigest()[:12]}"

    def measure(self, image: Image.Image) -> Measurements:
        """The features and ratings of an RGB picture.

        face: probabilities of permanent looks (37), NaN where less than 0.6 of the head is in the frame.
        scene: probabilities of skies, grounds and objects (43).
        subject: probabilities of hair colour and skin, and how much of the head is in the frame (13), the latter as
            the (cosine, sine) of an angle: 0 for all of it, 90 degrees for half of it or less.
        distortion: technical quality, 0 (only blur or noise) to 100.
        aesthetic: share of the head in the frame, times 6 to 10 by colour and contrast; 0 to 10.
        """
        luma = np.asarray(image.convert("L"), dtype=np.float32)
        liveliness = 6 + 2 * min(1.0, colourfulness(image) / 60) + 2 * min(1.0, float(luma.std()) / 48)
        with _one_thread(), torch.inference_mode():
            picture = to_tensor(shrink(image))[None]
            subject = self._networks["subject"](picture)[0]
            head, looks = Head(*subject[:3].tolist()), subject[3:]
            angle = pi * min(0.5, 1 - head.visible)
            framing = torch.tensor([cos(angle), sin(angle)])
            scene = self._networks["scene"](picture)[0]
            places, objects = scene[: sum(SCENE_BLOCKS)], scene[sum(SCENE_BLOCKS) :]
            return Measurements(
                faces=int(head.visible >= FACE_VISIBLE),
                face=self._face(image, head),
                scene=_unit(torch.cat([_probabilities(places, SCENE_BLOCKS), objects.sigmoid()])),
                subject=_unit(torch.cat([_probabilities(looks, SUBJECT_BLOCKS), framing])),
                distortion=float(np.float32(100 * sharpness(luma) * cleanness(luma))),
                aesthetic=float(np.float32(head.visible * liveliness)),
            )

    def _face(self, image: Image.Image, head: Head) -> np.ndarray:
        if head.visible < FACE_VISIBLE:
            return np.full(sum(FACE_BLOCKS), np.nan, dtype=np.float32)
        crop = to_tensor(crop_head(image, head))[None]
        return _unit(_probabilities(self._networks["face"](crop)[0], FACE_BLOCKS))


def shrink(image: Image.Image) -> Image.Image:
    """Shrink a whole picture by area to 96 x 96 RGB."""
    return image.convert("RGB").resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)


def to_tensor(image: Image.Image) -> Tensor:
    """(3, H, W) float32 in -0.5 to 0.5 of an RGB image."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255 - 0.5)


def crop_head(image: Image.Image, head: Head) -> Image.Image:
    """Cut a square of 1.3 head heights around head and neck, 64 x 64 RGB, black outside of the frame."""
    half, y = 0.65 * max(head.height, 0.05), head.y + 0.05 * head.height
    sides = (head.x - half, y - half, head.x + half, y + half)
    box = [round(side * image.width) for side in sides]
    return image.convert("RGB").crop(box).resize((HEAD_SIDE, HEAD_SIDE), Image.Resampling.BOX)


def sharpness(luma: np.ndarray) -> float:
    """1 minus the perceptual blur of Crete et al. (2007), 0 to 1, from luma (H, W)."""
    return min(_sharpness_along(luma, axis) for axis in (0, 1))


def cleanness(luma: np.ndarray) -> float:
    """exp(-sigma / 16) of the noise sigma (of 255), the median response to Immerkaer's mask (1996)."""
    second = luma[:, :-2] - 2 * luma[:, 1:-1] + luma[:, 2:]
    mask = second[:-2] - 2 * second[1:-1] + second[2:]
    return float(np.exp(-np.median(np.abs(mask)) / (0.6745 * 6) / 16))


def colourfulness(image: Image.Image) -> float:
    """Hasler and Suesstrunk (2003): 0 for grey, about 80 for very colourful."""
    red, green, blue = np.asarray(image.convert("RGB"), dtype=np.float32)[::2, ::2].transpose(2, 0, 1)
    first, second = red - green, (red + green) / 2 - blue
    return float(np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean()))


def _sharpness_along(luma: np.ndarray, axis: int) -> float:
    before = np.abs(np.diff(luma, axis=axis))
    after = np.abs(np.diff(uniform_filter1d(luma, 9, axis=axis), axis=axis))
    return float(np.maximum(0, before - after).sum() / max(before.sum(), 1e-6))


def _convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def _inside(centre: float, length: float) -> float:
    """Share of an interval inside 0 to 1."""
    low, high = centre - length / 2, centre + length / 2
    return max(0.0, min(high, 1.0) - max(low, 0.0)) / max(length, 1e-6)


def _probabilities(logits: Tensor, blocks: Sequence[int]) -> Tensor:
    return torch.cat([block.softmax(0) for block in logits.split(list(blocks))])


def _unit(features: Tensor) -> np.ndarray:
    return nn.functional.normalize(features, dim=0).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are split by threads, so their number would change last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _load(name: str, folder: Path, update: Callable[[bytes], None]) -> nn.Module:
    path, network = folder / f"{name}.safetensors", NETWORKS[name]()
    if not path.is_file():
        raise WeightsError(
            f"asked for the pocket scorers' {name} weights in {path}; found: no such file; {REMEDY}"
        )
    state = read_tensors(path, shapes_of(network.state_dict()), REMEDY)
    network.load_state_dict({key: value.float() for key, value in state.items()})
    update(path.read_bytes())
    return network.eval()
