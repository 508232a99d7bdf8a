"""Pictures of the forgotten that no model has seen: the same cells, further seeds, the same policy."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

from mmunlearn.evaluation.sampling import lowest
from mmunlearn.progress import progress
from mmunlearn.records import (
    Candidate,
    Prompt,
    Question,
    Split,
    atomic_path,
    read_json,
    read_jsonl,
    read_manifest,
    write_manifest,
)
from mmunlearn.synthesis.candidates import CandidateSampler
from mmunlearn.synthesis.policy import best, until_accepted

logger = logging.getLogger(__name__)


def draw_unseen(
    output: Path,
    *,
    manifest: Path,
    prompts: Path,
    references: Path,
    questions: Path,
    split: Path,
    n: int | None,
    seed: int,
    max_attempts: int,
    **settings: Any,
) -> None:
    """Draw one further picture of each forget_train cell, and write them as a manifest of accepted pictures.

    The attempts go on where the data set's end, from the first guidance scale on, in the same batches and through the
    same filters; so members and these are alike but for having been trained on. (Only the comparison of an event's
    pictures with each other, which refuses few, is left out.) A cell without a valid picture has no row.

    Args:
        output: Parquet, as images/manifest.parquet; the pictures lie in a folder of its name.
        n, seed: of the question sample that membership is inferred on; None: every cell.
        settings: further ones of `CandidateSampler`.
    """
    forget = read_json(split, Split)
    rows = [
        row
        for row in read_jsonl(questions, Question)
        if row.kind == forget.target and row.image_id in forget.forget_train
    ]
    cells = {row.image_id for row in lowest(rows, n, seed)}
    tried: dict[str, int] = {}
    for row in read_manifest(manifest):
        tried[row.image_id] = max(tried.get(row.image_id, 0), row.attempt + 1)
    all_prompts = read_jsonl(prompts, Prompt)
    of_cells = [prompt for prompt in all_prompts if prompt.image_id in cells]
    sampler = CandidateSampler(all_prompts, references, of_cells, **settings)
    folder, scales = output.with_suffix(""), len(sampler.pictures["guidance_scales"])
    shutil.rmtree(folder, ignore_errors=True)
    accepted: list[Candidate] = []
    for person in progress(sorted({prompt.person_id for prompt in of_cells}), "unseen", unit="person"):
        for image_id in (prompt.image_id for prompt in of_cells if prompt.person_id == person):
            first = first_attempt(tried[image_id], sampler.batch, scales)
            accepted += _published(sampler, image_id, first, folder, max_attempts)
    write_manifest(output, accepted)
    logger.info("%d of %d forgotten cells have an unseen picture", len(accepted), len(cells))


def first_attempt(tried: int, batch: int, scales: int) -> int:
    """The first attempt after those tried that begins a batch, and with the first guidance scale."""
    period = math.lcm(batch, scales)
    return -(-tried // period) * period


def _published(
    sampler: CandidateSampler, image_id: str, first: int, folder: Path, max_attempts: int
) -> list[Candidate]:
    """The cell's picture, copied; none where no attempt is valid."""
    draws = until_accepted(
        lambda attempts: sampler.draw(image_id, range(first + attempts.start, first + attempts.stop)),
        batch=sampler.batch,
        max_attempts=max_attempts,
    )
    draw = best(draws)
    if draw.failed:
        return []
    row, path = draw.candidate, folder / f"{image_id}.png"
    with atomic_path(path) as temporary:
        shutil.copyfile(row.path, temporary)
    return [row.model_copy(update={"accepted": True, "path": path.as_posix()})]
