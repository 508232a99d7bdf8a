"""What candidates took to draw and score, and the room they take: read from the store in which they lie.

Seconds stand beside each picture, so a shard that was interrupted, or judged anew, takes no less than it did.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmunlearn.records import Candidate
from mmunlearn.synthesis.candidate_store import SECONDS, TOOK, features_file


@dataclass(frozen=True)
class DrawingCost:
    """Cost of some candidates, whichever jobs drew them.

    Attributes:
        timed: how many have their seconds beside them; those of older versions have none.
        seconds: of all these, with what loading and compiling took in the first ones of a job.
        draw_seconds, score_seconds: of one: medians, which leave that out; None where none is timed.
        devices: where they were drawn, sorted.
        picture_bytes, candidate_bytes: mean size of a picture, and of it with its features.
    """

    timed: int
    seconds: float
    draw_seconds: float | None
    score_seconds: float | None
    devices: list[str]
    picture_bytes: float
    candidate_bytes: float


def drawing_cost(rows: Sequence[Candidate], work: Path) -> DrawingCost:
    """What candidates have taken. `work`: folder of their store."""
    pictures = [Path(row.path) for row in rows]
    features = [_features(work, path, row.sha256) for path, row in zip(pictures, rows, strict=True)]
    timed = [
        (*drawn, scored)
        for path, file in zip(pictures, features, strict=True)
        if (drawn := _drawn(path.parent)) and (scored := _scored(file)) is not None
    ]
    draws, devices, scores = zip(*timed, strict=True) if timed else ((), (), ())
    return DrawingCost(
        timed=len(timed),
        seconds=sum(draws) + sum(scores),
        draw_seconds=statistics.median(draws) if timed else None,
        score_seconds=statistics.median(scores) if timed else None,
        devices=sorted(set(devices)),
        picture_bytes=statistics.mean(map(_size, pictures)),
        candidate_bytes=statistics.mean(map(_size, pictures)) + statistics.mean(map(_size, features)),
    )


def mean_size(folder: Path, pattern: str) -> float:
    """Mean bytes of the files of a pattern below a folder; 0 where there is none."""
    return statistics.mean([_size(path) for path in folder.glob(pattern)] or [0])


def _size(path: Path | None) -> int:
    return path.stat().st_size if path and path.exists() else 0


def _features(work: Path, picture: Path, sha256: str) -> Path | None:
    """What was measured in a picture, by whichever scorers were last."""
    found = work.glob(f"features/*/{features_file(picture, sha256)}")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _drawn(unit: Path) -> tuple[float, str] | None:
    """Seconds a picture of a unit, and the device."""
    try:
        took = json.loads((unit / TOOK).read_text(encoding="utf-8"))
        return float(took[SECONDS]), str(took["device"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _scored(features: Path | None) -> float | None:
    if features is None:
        return None
    try:
        with np.load(features, allow_pickle=False) as file:
            return float(file[SECONDS]) if SECONDS in file.files else None
    except Exception:  # damaged: whoever needs what was measured measures it again
        return None
