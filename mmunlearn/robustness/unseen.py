"""Pictures of the forgotten that no model has seen: the same cells, further seeds, the same policy."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
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
from mmunlearn.synthesis.cells import Judge
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import Thresholds, best, until_accepted
from mmunlearn.synthesis.studio import PictureSettings, Studio

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
    pictures: Mapping[str, Any],
    device: str,
    thresholds: Mapping[str, float],
    person_reference: str,
    batch: int,
    max_attempts: int,
    work: Path,
) -> None:
    """Draw one further picture of each forget_train cell, and write them as a manifest of accepted pictures.

    The attempts go on where the data set's end, from the first guidance scale on, in the same batches and through the
    same filters; so members and these are alike but for having been trained on. (Only the comparison of an event's
    pictures with each other, which refuses few, is left out.) A cell without a valid picture has no row.

    Args:
        output: Parquet, as images/manifest.parquet; the pictures lie in a folder of its name.
        n, seed: of the question sample that membership is inferred on; None: every cell.
        pictures, device: settings of `PictureSettings`.
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
    settings = PictureSettings(**pictures, device=device)
    studio, scenes = Studio.open(all_prompts, settings, work, of_cells), read_references(references)
    folder = output.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    accepted: list[Candidate] = []
    for person in progress(sorted({prompt.person_id for prompt in of_cells}), "unseen", unit="person"):
        judge = Judge.of_person(
            [prompt for prompt in all_prompts if prompt.person_id == person],
            studio,
            scenes,
            Thresholds(**thresholds),
            batch=batch,
            person_reference=person_reference,
        )
        for prompt in (one for one in of_cells if one.person_id == person):
            first = first_attempt(tried[prompt.image_id], batch, len(settings.guidance_scales))
            accepted += _published(judge, prompt, first, folder, batch=batch, max_attempts=max_attempts)
    write_manifest(output, accepted)
    logger.info("%d of %d forgotten cells have an unseen picture", len(accepted), len(cells))


def first_attempt(tried: int, batch: int, scales: int) -> int:
    """The first attempt after those tried that begins a batch, and with the first guidance scale."""
    period = math.lcm(batch, scales)
    return -(-tried // period) * period


def _published(
    judge: Judge, prompt: Prompt, first: int, folder: Path, *, batch: int, max_attempts: int
) -> list[Candidate]:
    """The cell's picture, copied; none where no attempt is valid."""
    draws = until_accepted(
        lambda attempts: judge.draw(prompt, range(first + attempts.start, first + attempts.stop)),
        batch=batch,
        max_attempts=max_attempts,
    )
    draw = best(draws)
    if draw.failed:
        return []
    row, path = draw.item[0], folder / f"{prompt.image_id}.png"
    with atomic_path(path) as temporary:
        shutil.copyfile(row.path, temporary)
    return [row.model_copy(update={"accepted": True, "path": path.as_posix()})]
