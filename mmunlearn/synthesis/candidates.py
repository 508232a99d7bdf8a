"""Candidates of every cell of people x events: drawn, scored against references, accepted or refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.records import Candidate, Prompt
from mmunlearn.synthesis.candidate_store import CandidateStore, PictureSettings, StoredPicture
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import SURPLUS, Draw, RawScores, Thresholds, failed_filters
from mmunlearn.synthesis.references import cosine, l2, medoid, scene_cosine, typical

Reference = tuple[np.ndarray, np.ndarray]
logger = logging.getLogger(__name__)


@dataclass
class CandidateSampler:
    """Draws candidates and scores them against references that are chosen before any verdict.

    Nothing is loaded before the first draw.

    Attributes:
        prompts: of the whole data set.
        references: .npz with the scene references of every event, (k, D) each.
        planned: the prompts that this job may draw.
        pictures, device: settings of `PictureSettings`.
        thresholds: settings of `Thresholds`; None: every picture is accepted, whatever its scores.
        person_reference: `face`, the medoid of the faces in the first attempts, or `face+subject`, see `typical`.
        batch: size of a unit of attempts.
        work: folder of the candidates' store.
    """

    prompts: Sequence[Prompt]
    references: Path
    planned: Sequence[Prompt]
    pictures: Mapping[str, Any]
    device: str
    thresholds: Mapping[str, float] | None
    person_reference: str
    batch: int
    work: Path

    def __post_init__(self) -> None:
        self.limits = None if self.thresholds is None else Thresholds(**self.thresholds)
        self._prompts = {prompt.image_id: prompt for prompt in self.prompts}
        self._people: dict[str, Reference] = {}

    @cached_property
    def _store(self) -> CandidateStore:
        settings = PictureSettings(**self.pictures, device=self.device)
        return CandidateStore(self.prompts, settings, self.work, self.planned)

    @cached_property
    def _scenes(self) -> Mapping[str, np.ndarray]:
        return read_references(self.references)

    def draw(self, image_id: str, attempts: range) -> list[Draw]:
        """The candidates of a unit of attempts at a cell."""
        prompt = self._prompts[image_id]
        if prompt.person_id not in self._people:
            self._people[prompt.person_id] = self._reference(prompt.person_id)
        return [self._scored(prompt, picture) for picture in self._store.get(prompt, attempts)]

    def _reference(self, person_id: str) -> Reference:
        """Features (D,) of face and subject of the picture that stands for a person, among the first attempts at all of
        the person's prompts; NaN where none shows exactly one face."""
        prompts = [prompt for prompt in self.prompts if prompt.person_id == person_id]
        first = [self._store.get(prompt, range(self.batch))[0].measurements for prompt in prompts]
        faces, subjects = np.stack([one.face for one in first]), np.stack([one.subject for one in first])
        try:
            index = typical(faces, subjects) if self.person_reference == "face+subject" else medoid(faces)
        except ValueError:
            logger.warning(
                "%s: none of %d first pictures shows exactly one face, so there is no reference: the identity filter "
                "refuses all others", person_id, len(first),
            )  # fmt: skip
            return np.full_like(faces[0], np.nan), np.full_like(subjects[0], np.nan)
        return faces[index], subjects[index]

    def _scored(self, prompt: Prompt, picture: StoredPicture) -> Draw:
        scores = self._scores(prompt, picture)
        failed = [] if self.limits is None else failed_filters(scores, self.limits)
        candidate = Candidate(
            image_id=prompt.image_id,
            person_id=prompt.person_id,
            event_id=prompt.event_id,
            attempt=picture.request.attempt,
            seed=picture.request.seed,
            guidance_scale=picture.request.guidance_scale,
            prompt=prompt.prompt,
            path=picture.path.as_posix(),
            sha256=picture.sha256,
            generator=self._store.generator,
            **vars(scores),
            accepted=False,
            reject_reason=", ".join(failed),
            scene_pair=None,
        )
        return Draw(candidate, picture.measurements.scene, failed)

    def _scores(self, prompt: Prompt, picture: StoredPicture) -> RawScores:
        """Scores of a picture against its references, rounded to 4 decimals; NaN becomes None."""
        measurements, (face, subject) = picture.measurements, self._people[prompt.person_id]
        scenes = self._scenes[prompt.event_id]
        return RawScores(
            faces=measurements.faces,
            identity_l2=_rounded(l2(measurements.face[None], face)[0]),
            scene_cosine=_rounded(scene_cosine(measurements.scene[None], scenes)[0]),
            subject_cosine=_rounded(cosine(measurements.subject[None], subject)[0]),
            distortion=_rounded(measurements.distortion),
            aesthetic=_rounded(measurements.aesthetic),
        )


def with_verdicts(draws: Sequence[Draw], accepted: Draw | None) -> list[Candidate]:
    """The candidates of one cell with their verdicts: further valid ones beside the accepted one are surplus."""
    return [
        draw.candidate.model_copy(
            update={
                "accepted": draw is accepted,
                "reject_reason": ", ".join(draw.failed) or ("" if draw is accepted else SURPLUS),
            }
        )
        for draw in draws
    ]


def reasons(row: Candidate) -> list[str]:
    """What refuses a candidate; empty for an accepted or a surplus one."""
    return [reason for reason in row.reject_reason.split(", ") if reason not in ("", SURPLUS)]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
