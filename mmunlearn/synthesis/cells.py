"""The cells of people x events: judging the candidates of each, and which of them is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmunlearn.records import Candidate, Prompt
from mmunlearn.synthesis.policy import SURPLUS, Draw, RawScores, Thresholds, failed_filters
from mmunlearn.synthesis.references import cosine, l2, medoid, scene_cosine, typical
from mmunlearn.synthesis.studio import Measured, Studio


@dataclass(frozen=True)
class Judge:
    """Judges the pictures of one person against references that were chosen before any verdict.

    `face` and `subject` (D,) are the features of the picture that stands for the person, NaN where no first attempt
    shows exactly one face; `scenes` are the references of every event, (k, D) each.
    """

    studio: Studio
    face: np.ndarray
    subject: np.ndarray
    scenes: Mapping[str, np.ndarray]
    thresholds: Thresholds

    @classmethod
    def of_person(
        cls,
        prompts: Sequence[Prompt],
        studio: Studio,
        scenes: Mapping[str, np.ndarray],
        thresholds: Thresholds,
        *,
        batch: int,
        person_reference: str,
    ) -> Judge:
        """Choose the person's reference among the first attempts at all of the person's prompts.

        Args:
            batch: size of a unit of attempts.
            person_reference: `face`, the medoid of the faces, or `face+subject`, see `typical`.
        """
        first = [studio.measure(prompt, range(batch))[0].sight for prompt in prompts]
        faces, subjects = np.stack([one.face for one in first]), np.stack([one.subject for one in first])
        try:
            chosen = typical(faces, subjects) if person_reference == "face+subject" else medoid(faces)
        except ValueError:
            return cls(
                studio, np.full_like(faces[0], np.nan), np.full_like(subjects[0], np.nan), scenes, thresholds
            )
        return cls(studio, faces[chosen], subjects[chosen], scenes, thresholds)

    def draw(self, prompt: Prompt, attempts: range) -> list[Draw[tuple[Candidate, np.ndarray]]]:
        """The candidates of a unit, each with its scene feature (D,)."""
        return [self._judged(prompt, one) for one in self.studio.measure(prompt, attempts)]

    def _judged(self, prompt: Prompt, one: Measured) -> Draw[tuple[Candidate, np.ndarray]]:
        scores = raw_scores(one, self.face, self.subject, self.scenes[prompt.event_id])
        failed = failed_filters(scores, self.thresholds)
        candidate = Candidate(
            image_id=prompt.image_id,
            person_id=prompt.person_id,
            event_id=prompt.event_id,
            attempt=one.request.attempt,
            seed=one.request.seed,
            guidance_scale=one.request.guidance_scale,
            prompt=prompt.prompt,
            path=one.path.as_posix(),
            sha256=one.sha256,
            generator=self.studio.name,
            **vars(scores),
            accepted=False,
            reject_reason=", ".join(failed),
            scene_pair=None,
        )
        return Draw((candidate, one.sight.scene), candidate.attempt, failed, candidate.aesthetic or 0.0)


def raw_scores(one: Measured, face: np.ndarray, subject: np.ndarray, scene: np.ndarray) -> RawScores:
    """Scores of a picture against its references, rounded to 4 decimals; NaN becomes None."""
    sight = one.sight
    return RawScores(
        faces=sight.faces,
        identity_l2=_rounded(l2(sight.face[None], face)[0]),
        scene_cosine=_rounded(scene_cosine(sight.scene[None], scene)[0]),
        subject_cosine=_rounded(cosine(sight.subject[None], subject)[0]),
        distortion=_rounded(sight.distortion),
        aesthetic=_rounded(sight.aesthetic),
    )


def with_verdicts(
    draws: Sequence[Draw[tuple[Candidate, np.ndarray]]],
    kept: Draw[tuple[Candidate, np.ndarray]] | None,
) -> list[Candidate]:
    """The candidates of one cell with their verdicts: the kept one is accepted, further valid ones are surplus."""
    return [
        draw.item[0].model_copy(
            update={
                "accepted": draw is kept,
                "reject_reason": ", ".join(draw.failed) if draw.failed else "" if draw is kept else SURPLUS,
            }
        )
        for draw in draws
    ]


def reasons(row: Candidate) -> list[str]:
    """What refuses a candidate; empty for an accepted or a surplus one."""
    return [reason for reason in row.reject_reason.split(", ") if reason not in ("", SURPLUS)]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
