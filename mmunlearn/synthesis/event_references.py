"""Scene references: k pictures of every event, drawn before any verdict is given."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Prompt, atomic_path, read_jsonl
from mmunlearn.seeds import derive_seed
from mmunlearn.synthesis.studio import PictureSettings, Studio

logger = logging.getLogger(__name__)


def draw_references(
    prompts: Path, output: Path, *, settings: PictureSettings, references_per_event: int, work: Path
) -> None:
    """Write the scene features of k pictures an event: an .npz of event_id -> (k, D) float32.

    Every event is drawn with k people of its prompts, chosen by the base seed.
    """
    rows = read_jsonl(prompts, Prompt)
    events = sorted({row.event_id for row in rows})
    chosen = {
        event: reference_prompts(
            [row for row in rows if row.event_id == event], references_per_event, settings.seed
        )
        for event in events
    }
    studio = Studio.open(rows, settings, work, [prompt for own in chosen.values() for prompt in own])
    features = {}
    for event in progress(events, "references", unit="event"):
        measured = [studio.measure(prompt, range(1))[0] for prompt in chosen[event]]
        features[event] = np.stack([one.sight.scene for one in measured])
    with atomic_path(output) as temporary:
        np.savez(temporary, **features)
    logger.info("%d pictures of %d events", references_per_event * len(events), len(events))


def reference_prompts(prompts: list[Prompt], k: int, seed: int) -> list[Prompt]:
    """k prompts of an event under image ids of their own (`ref0-e05`), with different people while they last."""
    event = prompts[0].event_id
    people = random.Random(derive_seed(seed, "references", event)).sample(prompts, len(prompts))
    chosen = [people[i % len(people)] for i in range(k)]
    return [prompt.model_copy(update={"image_id": f"ref{i}-{event}"}) for i, prompt in enumerate(chosen)]


def read_references(path: Path) -> Mapping[str, np.ndarray]:
    """event_id -> scene features (k, D) float32."""
    with np.load(path, allow_pickle=False) as values:
        return {event: values[event] for event in values.files}
