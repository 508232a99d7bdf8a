"""Drawing a block of people until every picture is valid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, atomic_path, read_jsonl, write_manifest
from mmunlearn.synthesis.cells import Judge, with_verdicts
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import Thresholds, best, until_accepted
from mmunlearn.synthesis.studio import PictureSettings, Studio

logger = logging.getLogger(__name__)


def draw_shard(
    prompts: Path,
    references: Path,
    output: Path,
    scenes: Path,
    *,
    shard: int,
    people_per_shard: int,
    settings: PictureSettings,
    thresholds: Mapping[str, float],
    person_reference: str,
    batch: int,
    max_attempts: int,
    work: Path,
) -> None:
    """Write the candidates of one block of people, each with its scores and the verdict (Parquet).

    An interrupted shard finds its pictures in the store and draws only what is missing.

    Args:
        scenes: .npy beside `output`: the candidates' scene features, (N, D) float32 in the order of its rows.
    """
    everything = read_jsonl(prompts, Prompt)
    people = sorted({prompt.person_id for prompt in everything})
    block = people[shard * people_per_shard : (shard + 1) * people_per_shard]
    own = {person: [prompt for prompt in everything if prompt.person_id == person] for person in block}
    studio = Studio.open(everything, settings, work, [prompt for row in own.values() for prompt in row])
    references_of = read_references(references)
    rows: list[Candidate] = []
    features: list[np.ndarray] = []
    for person in progress(block, f"shard {shard}", unit="person"):
        judge = Judge.of_person(
            own[person],
            studio,
            references_of,
            Thresholds(**thresholds),
            batch=batch,
            person_reference=person_reference,
        )
        for prompt in sorted(own[person], key=lambda one: one.image_id):
            draws = until_accepted(partial(judge.draw, prompt), batch=batch, max_attempts=max_attempts)
            kept = best(draws)
            rows += with_verdicts(draws, None if kept.failed else kept)
            features += [draw.item[1] for draw in draws]
    with atomic_path(scenes) as temporary, temporary.open("wb") as handle:
        np.save(handle, np.stack(features))
    write_manifest(output, rows)
    cells = len({row.image_id for row in rows})
    logger.info("%d of %d cells accepted, %d drawn", sum(row.accepted for row in rows), cells, len(rows))
