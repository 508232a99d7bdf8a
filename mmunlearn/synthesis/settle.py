"""What can only be judged when all shards are drawn: pairs of scenes, and what people say of the pictures.

A cell whose picture is refused here keeps its other valid candidates, and gets further ones where it has none.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, read_jsonl, read_manifest, write_manifest
from mmunlearn.review.verdicts import read_verdicts, rejected
from mmunlearn.synthesis.cells import Judge, reasons, with_verdicts
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import REVIEW, SCENE_PAIR, Draw, Thresholds, best, until_accepted
from mmunlearn.synthesis.scene_pairs import lowest_pair, offenders, pair_cosines
from mmunlearn.synthesis.studio import PictureSettings, Studio

Row = Draw[tuple[Candidate, np.ndarray]]
logger = logging.getLogger(__name__)


def settle_pictures(
    shards: Sequence[Path],
    scenes: Sequence[Path],
    prompts: Path,
    references: Path,
    verdicts: Sequence[Path],
    output: Path,
    *,
    settings: PictureSettings,
    thresholds: Mapping[str, float],
    person_reference: str,
    batch: int,
    candidates: int,
    work: Path,
) -> None:
    """Write all candidates with their last verdict (Parquet).

    A picture that anyone rejects is refused, and so are as few accepted ones as possible, so that every pair of
    accepted pictures of an event is alike enough. Each such cell is drawn anew, with `candidates` further attempts
    for every refusal at most.

    Args:
        shards, scenes: of every shard, in the same order.
        verdicts: CSV files of the reviewers.
    """
    cells = _read_cells(shards, scenes)
    refused = rejected(read_verdicts(verdicts), "picture")
    redraw = _Redrawing(
        read_jsonl(prompts, Prompt),
        references,
        settings,
        Thresholds(**thresholds),
        person_reference,
        batch,
        work,
    )
    by_event: dict[str, list[str]] = {}
    for image_id, rows in cells.items():
        by_event.setdefault(rows[0].item[0].event_id, []).append(image_id)
    for event in progress(sorted(by_event), "events", unit="event"):
        _settle_event(
            {image_id: cells[image_id] for image_id in by_event[event]}, refused, redraw, candidates
        )
    rows = [row for draws in cells.values() for row in with_verdicts(draws)]
    write_manifest(output, _with_pairs(rows, cells))
    logger.info(
        "%d of %d cells accepted; refused: %d by people, %d by comparison with the event's other pictures",
        sum(row.accepted for row in rows),
        len(cells),
        sum(REVIEW in reasons(row) for row in rows),
        sum(SCENE_PAIR in reasons(row) for row in rows),
    )


def _read_cells(shards: Sequence[Path], scenes: Sequence[Path]) -> dict[str, list[Row]]:
    """image_id -> its candidates by attempt, with their scene features."""
    cells: dict[str, list[Row]] = {}
    for shard, features in zip(shards, scenes, strict=True):
        for row, feature in zip(read_manifest(shard), np.load(features, allow_pickle=False), strict=True):
            draw = Draw((row, feature), row.attempt, reasons(row), row.aesthetic or 0.0)
            cells.setdefault(row.image_id, []).append(draw)
    return dict(sorted(cells.items()))


def _settle_event(
    cells: dict[str, list[Row]], refused: Collection[str], redraw: _Redrawing, candidates: int
) -> None:
    """Settle the cells of one event in place."""
    for draws in cells.values():
        _mark_reviewed(draws, refused)
    offending = _offending(cells, redraw.thresholds.scene_pair)
    for image_id in offending:
        best(cells[image_id]).failed.append(SCENE_PAIR)
    for image_id, draws in cells.items():
        if image_id in offending or any(REVIEW in draw.failed for draw in draws):
            others = _accepted_scenes(cells, without=image_id)
            _mark_pairs(draws, others, redraw.thresholds.scene_pair)
            first = len(draws) + candidates * (image_id in offending)

            def judged(attempts: range, prompt: str = image_id, others: np.ndarray = others) -> list[Row]:
                new = redraw(prompt, attempts)
                _mark_reviewed(new, refused)
                _mark_pairs(new, others, redraw.thresholds.scene_pair)
                return new

            while len(draws) < (limit := first + candidates * sum(REVIEW in draw.failed for draw in draws)):
                more = until_accepted(judged, batch=redraw.batch, max_attempts=limit, drawn=draws)
                if len(more) == len(draws):
                    break
                draws[:] = more


def _mark_reviewed(draws: Sequence[Row], refused: Collection[str]) -> None:
    for draw in draws:
        if draw.item[0].sha256 in refused:
            draw.failed.append(REVIEW)


def _mark_pairs(draws: Sequence[Row], others: np.ndarray, threshold: float) -> None:
    """Refuse valid candidates that are too unlike any of the event's accepted pictures."""
    for draw in draws:
        cosines = np.round(others @ draw.item[1].astype(np.float64), 4) if len(others) else others
        if not draw.failed and (cosines < threshold).any():
            draw.failed.append(SCENE_PAIR)


def _accepted_scenes(cells: Mapping[str, list[Row]], without: str) -> np.ndarray:
    """Scene features (N, D) float64 of the event's accepted pictures but one."""
    kept = [best(draws) for image_id, draws in cells.items() if image_id != without]
    return np.array([draw.item[1] for draw in kept if not draw.failed], dtype=np.float64)


def _offending(cells: Mapping[str, list[Row]], threshold: float) -> list[str]:
    valid = [image_id for image_id, draws in cells.items() if not best(draws).failed]
    if not valid:
        return []
    cosines = pair_cosines(np.stack([best(cells[image_id]).item[1] for image_id in valid]))
    return [valid[index] for index in offenders(cosines, threshold)]


def _with_pairs(rows: Sequence[Candidate], cells: Mapping[str, list[Row]]) -> list[Candidate]:
    """The rows with `scene_pair` of the accepted ones."""
    by_event: dict[str, list[Candidate]] = {}
    for row in rows:
        if row.accepted:
            by_event.setdefault(row.event_id, []).append(row)
    lowest = {}
    for accepted in by_event.values():
        features = np.stack([cells[row.image_id][row.attempt].item[1] for row in accepted])
        lowest |= {
            row.image_id: float(value)
            for row, value in zip(accepted, lowest_pair(pair_cosines(features)), strict=True)
            if not np.isnan(value)
        }
    return [
        row.model_copy(update={"scene_pair": round(lowest[row.image_id], 4)})
        if row.accepted and row.image_id in lowest
        else row
        for row in rows
    ]


@dataclass
class _Redrawing:
    """Further attempts at single cells; nothing is opened before the first is asked for."""

    prompts: Sequence[Prompt]
    references: Path
    settings: PictureSettings
    thresholds: Thresholds
    person_reference: str
    batch: int
    work: Path
    _judges: dict[str, Judge] = field(default_factory=dict)

    def __call__(self, image_id: str, attempts: range) -> list[Row]:
        prompt = self._prompt_of[image_id]
        if prompt.person_id not in self._judges:
            self._judges[prompt.person_id] = Judge.of_person(
                [one for one in self.prompts if one.person_id == prompt.person_id],
                self._studio,
                self._scenes,
                self.thresholds,
                batch=self.batch,
                person_reference=self.person_reference,
            )
        return self._judges[prompt.person_id].draw(prompt, attempts)

    @cached_property
    def _prompt_of(self) -> dict[str, Prompt]:
        return {prompt.image_id: prompt for prompt in self.prompts}

    @cached_property
    def _studio(self) -> Studio:
        return Studio.open(self.prompts, self.settings, self.work, [])

    @cached_property
    def _scenes(self) -> Mapping[str, np.ndarray]:
        return read_references(self.references)
