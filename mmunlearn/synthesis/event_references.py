"""Scene references: k pictures of every event, drawn before any verdict."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Prompt, atomic_path, read_jsonl
from mmunlearn.seeds import derive_seed
from mmunlearn.synthesis.candidate_store import CandidateStore, PictureSettings

logger = logging.getLogger(__name__)


def draw_references(
    output: Path,
    *,
    prompts: Path,
    pictures: Mapping[str, Any],
    device: str,
    references_per_event: int,
    work: Path,
) -> None:
    """Write the scene features of k pictures an event: an .npz of event_id -> (k, D) float32.

    Every event is drawn with k people of its prompts, drawn by lots of the base seed.

    Args:
        pictures, device: settings of `PictureSettings`.
    Raises:
        ValueError: an event has no scene feature; as soon as its pictures are drawn.
    """
    rows, settings = read_jsonl(prompts, Prompt), PictureSettings(**pictures, device=device)
    cells: dict[str, list[Prompt]] = {event: [] for event in sorted({row.event_id for row in rows})}
    for row in rows:
        cells[row.event_id].append(row)
    references = {
        event: reference_prompts(cells[event], references_per_event, settings.seed) for event in cells
    }
    planned = [prompt for of_event in references.values() for prompt in of_event]
    store = CandidateStore(rows, settings, work, planned)
    features = {}
    for event in progress(references, "references", unit="event"):
        first = [store.get(prompt, range(1))[0] for prompt in references[event]]
        features[event] = np.stack([picture.measurements.scene for picture in first])
        if np.isnan(features[event]).any(axis=1).all():
            raise ValueError(
                f"Asked for the scene of event {event} in {len(first)} pictures. Found a feature in none: the scorers "
                f"of images.{settings.scorers} gave no number. Look at {first[0].path}, correct the weights of the "
                "scene's network or the event, and run again: what is drawn is not drawn again."
            )
    with atomic_path(output) as temporary:
        np.savez(temporary, **features)
    logger.info("%d pictures of %d events", len(planned), len(features))


def reference_prompts(prompts: list[Prompt], k: int, seed: int) -> list[Prompt]:
    """k prompts of an event under image ids of their own (`ref0-e05`), with different people while they last."""
    event = prompts[0].event_id
    people = random.Random(derive_seed(seed, "references", event)).sample(prompts, len(prompts))
    return [people[i % len(people)].model_copy(update={"image_id": f"ref{i}-{event}"}) for i in range(k)]


def read_references(path: Path) -> Mapping[str, np.ndarray]:
    """event_id -> scene features (k, D) float32."""
    with np.load(path, allow_pickle=False) as values:
        return {event: values[event] for event in values.files}
