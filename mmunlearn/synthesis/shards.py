"""Drawing a block of people until every picture is valid."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, read_jsonl, write_manifest
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import Draw, RawScores, Thresholds, best, failed_filters, until_accepted
from mmunlearn.synthesis.references import cosine, l2, scene_cosine, typical
from mmunlearn.synthesis.studio import Measured, PictureSettings, Studio

logger = logging.getLogger(__name__)


def draw_shard(
    prompts: Path,
    references: Path,
    output: Path,
    *,
    shard: int,
    people_per_shard: int,
    settings: PictureSettings,
    thresholds: Mapping[str, float],
    batch: int,
    max_attempts: int,
    work: Path,
) -> None:
    """Write the candidates of one block of people, each with its scores and the verdict (Parquet).

    An interrupted shard finds its pictures in the store and draws only what is missing.
    """
    everything = read_jsonl(prompts, Prompt)
    people = sorted({prompt.person_id for prompt in everything})
    block = people[shard * people_per_shard : (shard + 1) * people_per_shard]
    scenes = read_references(references)
    studio = Studio.open(everything, settings, work)
    rows: list[Candidate] = []
    for person in progress(block, f"shard {shard}", unit="person"):
        own = [prompt for prompt in everything if prompt.person_id == person]
        rows += draw_person(
            own,
            studio.measure,
            scenes,
            Thresholds(**thresholds),
            generator=studio.name,
            batch=batch,
            max_attempts=max_attempts,
        )
    write_manifest(output, rows)
    cells = len({row.image_id for row in rows})
    logger.info("%d of %d cells accepted, %d drawn", sum(row.accepted for row in rows), cells, len(rows))


def draw_person(
    prompts: Sequence[Prompt],
    measure: Callable[[list[tuple[Prompt, int]]], list[Measured]],
    scenes: Mapping[str, np.ndarray],
    thresholds: Thresholds,
    *,
    generator: str,
    batch: int,
    max_attempts: int,
) -> list[Candidate]:
    """All candidates of one person. The references are taken from the first attempts, before any verdict."""
    by_id = {prompt.image_id: prompt for prompt in prompts}
    face, subject = person_references(measure([(prompt, 0) for prompt in prompts]))

    def draw(wanted: list[tuple[str, int]]) -> list[Draw[tuple[Measured, RawScores]]]:
        measured = measure([(by_id[image_id], attempt) for image_id, attempt in wanted])
        return [judge(one, by_id[one.request.image_id]) for one in measured]

    def judge(one: Measured, prompt: Prompt) -> Draw[tuple[Measured, RawScores]]:
        scores = raw_scores(one, face, subject, scenes[prompt.event_id])
        failed = failed_filters(scores, thresholds)
        return Draw((one, scores), one.request.attempt, failed, scores.aesthetic or 0.0)

    drawn = until_accepted(list(by_id), draw, batch=batch, max_attempts=max_attempts)
    return [
        _row(by_id[image_id], candidate, candidate is best(candidates), generator)
        for image_id, candidates in drawn.items()
        for candidate in candidates
    ]


def person_references(first: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray]:
    """Identity and subject reference of a person, (D,) float32: the features of the first attempt that is most
    typical of the person, NaN where no first attempt shows a face."""
    faces, subjects = np.stack([one.face for one in first]), np.stack([one.subject for one in first])
    try:
        chosen = typical(faces, subjects)
    except ValueError:
        return np.full_like(faces[0], np.nan), np.full_like(subjects[0], np.nan)
    return faces[chosen], subjects[chosen]


def raw_scores(one: Measured, face: np.ndarray, subject: np.ndarray, scene: np.ndarray) -> RawScores:
    """Scores of a picture against its references, rounded to 4 decimals; NaN becomes None."""
    return RawScores(
        identity_l2=_rounded(l2(one.face[None], face)[0]),
        scene_cosine=_rounded(scene_cosine(one.scene[None], scene)[0]),
        subject_cosine=_rounded(cosine(one.subject[None], subject)[0]),
        distortion=_rounded(one.distortion),
        aesthetic=_rounded(one.aesthetic),
    )


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _row(prompt: Prompt, draw: Draw[tuple[Measured, RawScores]], kept: bool, generator: str) -> Candidate:
    measured, scores = draw.item
    valid = not draw.failed
    return Candidate(
        image_id=prompt.image_id,
        person_id=prompt.person_id,
        event_id=prompt.event_id,
        attempt=draw.attempt,
        seed=measured.request.seed,
        guidance_scale=measured.request.guidance_scale,
        prompt=prompt.prompt,
        path=measured.path.as_posix(),
        sha256=measured.sha256,
        generator=generator,
        **vars(scores),
        accepted=valid and kept,
        reject_reason=", ".join(draw.failed) if draw.failed else "" if kept else "surplus",
    )
