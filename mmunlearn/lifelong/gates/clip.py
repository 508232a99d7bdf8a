"""Gate `clip`: the nearest name, or the nearest mean of an entity's training pictures; no model is asked a question.

An entity's likeness is the cosine of a picture to a sentence with its name (zero-shot), to its prototype, the mean of
its forgotten training pictures, or the mean of both. Pictures are embedded by a CLIP, which knows names, or they are
the base's own features, mean-pooled, which know none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmunlearn.dataset.files import load_clip
from mmunlearn.dataset.retrieval import Clip, unit
from mmunlearn.lifelong.gates.gate import Gate
from mmunlearn.lifelong.routing import GateReply
from mmunlearn.models.base import Features
from mmunlearn.models.feature_file import FeatureTable
from mmunlearn.models.features import Picture
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
        entities = sorted({row.entity for row in forgotten})
        encoder = self.settings["encoder"]
        clip = load_clip(Path(encoder), "auto", self.settings["quick_gelu"]) if encoder else None
        ours = self._vectors(pictures, clip)
        compared = []
        if self.settings["names"]:
            texts = [self.settings["prompt"].replace("{name}", name) for name in entities]
            compared.append(ours @ unit(clip.embed_texts(texts)).T)
        if self.settings["prototypes"]:
            trained = {row.image_id: row for row in forgotten if row.trained}
            known = self._vectors(list(trained.values()), clip)
            compared.append(ours @ _prototypes([row.entity for row in trained.values()], known, entities).T)
        cosines = np.round(np.mean(compared, axis=0), DIGITS).clip(-1, 1)
        return [
            GateReply(image_id=row.image_id, cosines=dict(zip(entities, map(float, line), strict=True)))
            for row, line in zip(pictures, cosines, strict=True)
        ]

    def _vectors(self, rows: Sequence[TaskQuestion], clip: Clip | None) -> np.ndarray:
        """(N, D) unit vectors of the rows' pictures."""
        if clip is None:
            table = FeatureTable(self.sources.features)
            table.require(row.image_id for row in rows)
            return unit(np.stack([pooled(table[row.image_id]) for row in progress(rows, "pictures")]))
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
        return features["features"].float().mean(0).numpy()
    if "states" in features:
        return features["states"][features["tiles"].bool()].float().mean((0, 1)).numpy()
    raise RecordError(
        "a picture's features are asked for as vectors, but this family keeps pixels; name a CLIP in "
        "lifelong.gates.clip.encoder"
    )


def _prototypes(entities: Iterable[str], vectors: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(names, D) unit vectors: the mean of each entity's pictures.

    Args:
        entities: of each vector.
    """
    of = np.array(list(entities))
    if lacking := [name for name in names if name not in of]:
        raise RecordError(
            f"the mean of the training pictures of {lacking[0]} is asked for, but it has none; set "
            f"lifelong.gates.clip.prototypes to false, or lower lifelong.test_share"
        )
    return unit(np.stack([vectors[of == name].mean(0) for name in names]))
