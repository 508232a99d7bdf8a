"""FaceNet: whether two faces are one person's (PEBench, section III-A, identity consistency)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1, extract_face, fixed_image_standardization
from PIL import Image

from mmunlearn.scorers.files import WEIGHTS, build, load_state

DETECTION_THRESHOLDS = (0.6, 0.7, 0.7)
"""Least probabilities of MTCNN's three stages, its own; a face is what the last lets pass."""

SMALLEST_FACE = 20
"""Side in pixels of the smallest face that MTCNN looks for, its own; smaller pictures have no face."""

FACE_SIDE, WIDTH = 160, 512
"""Side in pixels of the face that FaceNet sees, and the width of its feature."""


class FaceScorer:
    """MTCNN finds faces (its weights come with facenet-pytorch), FaceNet tells whose one face is.

    Args:
        folder: holds model.safetensors, the published VGGFace2 weights without their classifier `logits`.
        device: torch device.

    Raises:
        WeightsError: the file is missing, damaged or not this network's.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self._device = torch.device(device)
        network = build(InceptionResnetV1, load_state(folder), Path(folder) / WEIGHTS)
        self._network = network.to(self._device)
        with torch.random.fork_rng(devices=[]):
            self._detector = MTCNN(
                min_face_size=SMALLEST_FACE,
                thresholds=list(DETECTION_THRESHOLDS),
                keep_all=True,
                device=self._device,
            ).eval()

    @torch.inference_mode()
    def detect(self, image: Image.Image) -> np.ndarray:
        """Boxes (F, 4) float32 of the faces with probability 0.7 or more, the largest first.

        A box is left, top, right, bottom in pixels and may reach over the picture's edge, with at least a pixel
        inside.
        """
        if min(image.size) < SMALLEST_FACE:
            return np.empty((0, 4), dtype=np.float32)
        boxes, _ = self._detector.detect(image)
        boxes = np.asarray([] if boxes is None else boxes, dtype=np.float32).reshape(-1, 4)
        inside = np.minimum(boxes[:, 2:], image.size) - np.maximum(boxes[:, :2], 0)
        return boxes[(inside >= 1).all(axis=1)]

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: np.ndarray | None = None) -> np.ndarray:
        """The only face's feature (512,) float32 of length 1; NaN unless there is exactly one face.

        Args:
            image: RGB.
            boxes: from `detect`, run here where not given.
        """
        boxes = self.detect(image) if boxes is None else boxes
        if len(boxes) != 1:
            return np.full(WIDTH, np.nan, dtype=np.float32)
        face = fixed_image_standardization(extract_face(image, boxes[0], FACE_SIDE))
        return self._network(face[None].to(self._device))[0].float().cpu().numpy()
