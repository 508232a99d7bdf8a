"""Thresholds of the filters, from faultless pictures of people and events that occur nowhere else.

Each threshold starts as a quantile of the scores of faultless pictures, which the share `QUANTILE` of them misses,
and is moved further out by the part `MARGIN` of its distance from their median: other people and other events
spread wider than those measured. No defect and no benchmark picture is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmunlearn.pocket.render import render_person
from mmunlearn.pocket.scorers import PocketScorers
from mmunlearn.pocket.worlds import calibration_world
from mmunlearn.progress import progress
from mmunlearn.records import digest_of
from mmunlearn.scorers.protocol import Scorers
from mmunlearn.synthesis.references import cosine, l2, scene_cosine, typical
from mmunlearn.synthesis.scene_pairs import lowest_pair, pair_cosines

FILTERS = ("identity_l2", "scene_cosine", "scene_pair", "subject_cosine", "distortion", "aesthetic")
"""The filters' scores; `identity_l2` is good when low, the others when high. `scene_pair` is the lowest scene cosine
with another picture of the event."""

QUANTILE, MARGIN = 0.005, 0.5
"""Share of faultless pictures beyond each filter's quantile; how much further out its threshold lies."""

REFERENCES = 5
"""Pictures of an event with which all its pictures are compared."""

_SIZE = 256


def calibrate(
    weights_folder: str | Path,
    seed: int,
    people: int = 20,
    events: int = 45,
    quantile: float = QUANTILE,
    margin: float = MARGIN,
) -> dict[str, Any]:
    """Measure the thresholds on `people` x `events` faultless pictures of the calibration world.

    Args:
        weights_folder: what `PocketScorers` loads.
        seed: decides the world and its pictures.
        people, events: size of the world.
        quantile, margin: see `QUANTILE`.

    Returns:
        What calibration.json holds: `thresholds` by filter and what they rest on; `digest` covers the rest.
    """
    scorers = PocketScorers({"weights": weights_folder})
    world = calibration_world(people, events, seed)
    pictures = (
        render_person(identity, scene, f"calibration {seed} {i} {j}", _SIZE).image
        for i, identity in enumerate(world.identities)
        for j, scene in enumerate(world.scenes)
    )
    features = extract(scorers, progress(pictures, "calibration", people * events, "picture"))
    scores = score(features, *np.divmod(np.arange(people * events), events))
    thresholds = {name: _threshold(name, scores[name], quantile, margin) for name in FILTERS}
    passing = np.all([passes(name, scores[name], thresholds[name]) for name in FILTERS], axis=0)
    result = {
        "thresholds": thresholds,
        "quantile": quantile,
        "margin": margin,
        "people": people,
        "events": events,
        "pictures": people * events,
        "clean_refused": round(1 - float(passing.mean()), 4),
        "references": REFERENCES,
        "size": _SIZE,
        "seed": seed,
        "scorers": scorers.version,
    }
    return {**result, "digest": digest_of(result)}


def extract(scorers: Scorers, pictures: Iterable[Image.Image]) -> dict[str, np.ndarray]:
    """Features and ratings of pictures, one row each: face, scene, subject, distortion, aesthetic."""
    rows: dict[str, list[np.ndarray]] = {}
    for picture in pictures:
        measurements = scorers.measure(picture)
        for name in ("face", "scene", "subject", "distortion", "aesthetic"):
            rows.setdefault(name, []).append(getattr(measurements, name))
    return {name: np.stack(values) for name, values in rows.items()}


def score(features: dict[str, np.ndarray], people: np.ndarray, events: np.ndarray) -> dict[str, np.ndarray]:
    """The scores (N,) of pictures by who (N,) and what event (N,) each should show, 4 decimals.

    A person's reference picture is the medoid of the faces; an event's are its first `REFERENCES` pictures.
    """
    scores = {name: np.empty(len(people)) for name in FILTERS[:4]}
    for person in np.unique(people):
        rows = people == person
        face, subject = features["face"][rows], features["subject"][rows]
        reference = typical(face, subject)
        scores["identity_l2"][rows] = l2(face, face[reference])
        scores["subject_cosine"][rows] = cosine(subject, subject[reference])
    for event in np.unique(events):
        rows = events == event
        scene = features["scene"][rows]
        scores["scene_cosine"][rows] = scene_cosine(scene, scene[:REFERENCES])
        scores["scene_pair"][rows] = lowest_pair(pair_cosines(scene))
    scores |= {name: features[name].astype(float) for name in FILTERS[4:]}
    return {name: np.round(values, 4) for name, values in scores.items()}


def passes(name: str, values: np.ndarray, threshold: float) -> np.ndarray:
    """Which scores (N,) of a filter are good enough; NaN never is."""
    return values <= threshold if name == "identity_l2" else values >= threshold


def _threshold(name: str, values: np.ndarray, quantile: float, margin: float) -> float:
    """A filter's threshold; a missing score counts as the worst."""
    worst, share = (2.0, 1 - quantile) if name == "identity_l2" else (-1.0, quantile)
    values = np.nan_to_num(values, nan=worst)
    far = float(np.quantile(values, share, method="nearest"))
    return round(far + margin * (far - float(np.median(values))), 4)
