"""Drawing a block of people until every picture is valid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, atomic_path, read_jsonl, write_manifest
from mmunlearn.synthesis.candidates import CandidateSampler, with_verdicts
from mmunlearn.synthesis.filter_counts import check_first_cells
from mmunlearn.synthesis.policy import Draw, best, until_accepted

logger = logging.getLogger(__name__)


def draw_shard(
    candidates: Path,
    scenes: Path,
    *,
    prompts: Path,
    references: Path,
    shard: int,
    people_per_shard: int,
    max_attempts: int,
    stop_below: Mapping[str, Any] | None,
    **settings: Any,
) -> None:
    """Write the candidates of one block of people, each with its scores and the verdict.

    An interrupted shard finds its pictures in the store and draws only what is missing.

    Args:
        candidates: Parquet, rows of `Candidate`.
        scenes: .npy, the candidates' scene features, (N, D) float32 in the order of the rows.
        stop_below: see `check_first_cells`.
        settings: further ones of `CandidateSampler`.
    Raises:
        AcceptanceError: too few of the first cells have a valid picture.
    """
    all_prompts = read_jsonl(prompts, Prompt)
    people = sorted({prompt.person_id for prompt in all_prompts})
    block = people[shard * people_per_shard : (shard + 1) * people_per_shard]
    planned = [prompt for person in block for prompt in all_prompts if prompt.person_id == person]
    sampler = CandidateSampler(all_prompts, references, planned, **settings)
    cells: list[list[Draw]] = []
    rows: list[Candidate] = []
    for person in progress(block, f"shard {shard}", unit="person"):
        for image_id in sorted(prompt.image_id for prompt in planned if prompt.person_id == person):
            draws = until_accepted(
                partial(sampler.draw, image_id), batch=sampler.batch, max_attempts=max_attempts
            )
            cells.append(draws)
            check_first_cells(cells, len(planned), stop_below, sampler.limits)
            draw = best(draws)
            rows += with_verdicts(draws, None if draw.failed else draw)
    with atomic_path(scenes) as temporary, temporary.open("wb") as handle:
        np.save(handle, np.stack([draw.scene for draws in cells for draw in draws]))
    write_manifest(candidates, rows)
    logger.info("%d of %d cells accepted, %d drawn", sum(row.accepted for row in rows), len(cells), len(rows))
