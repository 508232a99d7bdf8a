"""Gate `clip`: the nearest name, or the nearest mean of an entity's training pictures; no model is asked a question.

An entity's likeness is the cosine of a picture to a sentence with its name (zero-shot), to its prototype, the mean of
its training pictures in the task that forgets it, or the mean of both. Pictures are embedded by a CLIP, which knows
names, or they are the base's own features, mean-pooled, which know none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mmunlearn.dataset.files import load_clip
from mmunlearn.dataset.retrieval import Clip, unit
from mmunlearn.lifelong.gates.gate import Gate
from mmunlearn.lifelong.routing import GateReply, cosine_key
from mmunlearn.models.base import Features
from mmunlearn.models.collate import Collator
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.picture_list import Picture, PictureList, open_features
from mmunlearn.progress import progress
from mmunlearn.records import RecordError
from mmunlearn.tasks import TaskQuestion

BATCH = 16
DIGITS = 6
"""Of a cosine: what comes behind may depend on the batch."""


class ClipGate(Gate):
    """Compares pictures with names and prototypes."""

    def replies(self, pictures: Sequence[TaskQuestion]) -> list[GateReply]:
        """See Gate.replies.

        Raises:
            RecordError: a forgotten entity has no training picture, or the features have no vectors.
            WeightsError: the CLIP's weights are missing or damaged.
        """
        forgotten = [row for row in self.sources.rows if row.role == "forget"]
        entities = {cosine_key(row): row.entity for row in sorted(forgotten, key=cosine_key)}
        encoder = self.settings["encoder"]
        clip = load_clip(Path(encoder), "auto", self.settings["quick_gelu"]) if encoder else None
        ours = self._vectors(pictures, clip)
        compared = []
        if self.settings["names"]:
            texts = [self.settings["prompt"].replace("{name}", name) for name in entities.values()]
            compared.append(ours @ unit(clip.embed_texts(texts)).T)
        if self.settings["prototypes"]:
            trained = list({(row.task, row.image_id): row for row in forgotten if row.trained}.values())
            known = self._vectors(trained, clip)
            compared.append(ours @ _prototypes(list(map(cosine_key, trained)), known, list(entities)).T)
        cosines = np.round(np.mean(compared, axis=0), DIGITS).clip(-1, 1)
        return [
            GateReply(image_id=row.image_id, cosines=dict(zip(entities, map(float, line), strict=True)))
            for row, line in zip(pictures, cosines, strict=True)
        ]

    @cached_property
    def _own(self) -> FeatureTable | PictureList:
        return open_features(self.sources.features)

    @cached_property
    def _features(self) -> Callable[[str], Features]:
        """The base's features of a picture; it is loaded where they are not kept."""
        if isinstance(self._own, FeatureTable):
            return self._own.__getitem__
        return Collator(self.sources.asking(1).base, self._own).features

    def _vectors(self, rows: Sequence[TaskQuestion], clip: Clip | None) -> np.ndarray:
        """(N, D) unit vectors of the rows' pictures."""
        if clip is None:
            self._own.require(row.image_id for row in rows)
            return unit(
                np.stack([pooled(self._features(row.image_id)) for row in progress(rows, "pictures")])
            )
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        listed_in = self.sources.questions
        return np.concatenate(
            [
                unit(clip.embed_images([Picture(row.path, row.sha256, listed_in).open() for row in part]))
                for part in progress(parts, "pictures", unit="batch")
            ]
        )


def pooled(features: Features) -> np.ndarray:
    """(D,) float32: the mean over a picture's tokens, or over the patches of the tiles that it fills."""
    if "features" in features:
        return features["features"].float().mean(0).cpu().numpy()
    if "states" in features:
        return features["states"][features["tiles"].bool()].float().mean((0, 1)).cpu().numpy()
    raise RecordError(
        "a picture's features are asked for as vectors, but this family keeps pixels; name a CLIP in "
        "lifelong.gates.clip.encoder"
    )


def _prototypes(of: Sequence[str], vectors: np.ndarray, entities: Sequence[str]) -> np.ndarray:
    """(entities, D) unit vectors: the mean of each entity's pictures.

    Args:
        of: the entity of each vector.
    """
    if lacking := [entity for entity in entities if entity not in of]:
        raise RecordError(
            f"the mean of the training pictures of {lacking[0]} is asked for, but it has none; set "
            f"lifelong.gates.clip.prototypes to false, or lower lifelong.test_share"
        )
    own = np.array(of)
    return unit(np.stack([vectors[own == entity].mean(0) for entity in entities]))
