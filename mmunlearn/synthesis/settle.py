"""Settling pictures once all shards are drawn: pairs of scenes, and what reviewers say of the pictures.

First the pairs of every event, whatever people say. Then the rejections in the order in which they were made, each
against the pictures that the other cells have at that moment: so a further rejection never changes another cell.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, read_jsonl, read_manifest, write_manifest
from mmunlearn.synthesis.candidates import CandidateSampler, reasons, with_verdicts
from mmunlearn.synthesis.policy import REVIEW, SCENE_PAIR, AcceptanceError, Draw, best
from mmunlearn.synthesis.scene_pairs import lowest_pair, offenders, pair_cosines
from mmunlearn.verdicts import read_verdicts, rejections, unmatched

logger = logging.getLogger(__name__)


def settle_pictures(
    output: Path,
    *,
    shards: Sequence[Path],
    scenes: Sequence[Path],
    prompts: Path,
    references: Path,
    verdicts: Sequence[Path],
    candidates: int,
    stop_below: Mapping[str, Any] | None,
    **settings: Any,
) -> None:
    """Write all candidates with their last verdict (Parquet).

    As few accepted pictures are refused as make every pair of an event alike enough; such a cell takes another valid
    candidate or is drawn anew. A picture that anyone rejects is drawn anew, and only it. Either way, `candidates`
    further attempts are made for every refusal at most.

    Args:
        shards, scenes: of every shard, in the same order.
        verdicts: CSV files of the reviewers.
        stop_below: its `share` of the accepted pictures must be alike; None: however few are.
        settings: further ones of `CandidateSampler`.
    Raises:
        AcceptanceError: fewer are; nothing is drawn then.
    """
    sampler = CandidateSampler(read_jsonl(prompts, Prompt), references, planned=(), **settings)
    alike = -math.inf if sampler.limits is None else sampler.limits.scene_pair
    settlement = Settlement(_read_cells(shards, scenes), sampler.draw, alike, sampler.batch, candidates)
    settlement.settle_pairs(stop_below["share"] if stop_below else 0.0)
    reviews = read_verdicts(verdicts)
    settlement.settle_rejections(rejections(reviews, "picture"))
    rows = settlement.rows()
    if strange := unmatched(reviews, "picture", {row.sha256 for row in rows}):
        logger.warning(
            "%d verdicts are about no picture of this run: an older one's, or another run's", strange
        )
    write_manifest(output, rows)
    logger.info(
        "%d of %d cells accepted; refused: %d by people, %d by comparison with the event's other pictures",
        sum(row.accepted for row in rows),
        len(settlement.cells),
        sum(REVIEW in reasons(row) for row in rows),
        sum(SCENE_PAIR in reasons(row) for row in rows),
    )


def _read_cells(shards: Sequence[Path], scenes: Sequence[Path]) -> dict[str, list[Draw]]:
    """image_id -> its candidates by attempt."""
    cells: dict[str, list[Draw]] = {}
    for shard, features in zip(shards, scenes, strict=True):
        for row, feature in zip(read_manifest(shard), np.load(features, allow_pickle=False), strict=True):
            cells.setdefault(row.image_id, []).append(Draw(row, feature, reasons(row)))
    return dict(sorted(cells.items()))


class Settlement:
    """The cells of a data set, and which candidate of each is accepted.

    Attributes:
        cells: image_id -> candidates by attempt.
        selection: image_id -> the accepted candidate, for the cells that have one.
    """

    def __init__(
        self,
        cells: dict[str, list[Draw]],
        draw: Callable[[str, range], list[Draw]],
        threshold: float,
        batch: int,
        candidates: int,
    ) -> None:
        """`draw(image_id, attempts)` gives further candidates; `threshold` is that of scene pairs."""
        self.cells, self._draw, self._threshold = cells, draw, threshold
        self._batch, self._candidates = batch, candidates
        self._rejected: set[str] = set()
        first = {image_id: best(draws) for image_id, draws in cells.items()}
        self.selection = {image_id: draw for image_id, draw in first.items() if not draw.failed}

    def settle_pairs(self, least: float = 0.0) -> None:
        """Refuse accepted pictures until every pair of an event is alike enough.

        Raises:
            AcceptanceError: that would leave less than the share `least` of them.
        """
        events = sorted(self._events().items())
        refused = [
            [ids[index] for index in offenders(self._cosines(ids), self._threshold)] for _, ids in events
        ]
        self._check(sum(map(len, refused)), least)
        for offending in progress(refused, "events", unit="event"):
            for image_id in offending:
                self.selection.pop(image_id).failed.append(SCENE_PAIR)
            for image_id in offending:
                self._select(image_id, self.cells[image_id])
                if image_id not in self.selection:
                    self._draw_anew(image_id)

    def _check(self, refused: int, least: float) -> None:
        before = len(self.selection)
        if before and (before - refused) / before < least:
            raise AcceptanceError(
                f"Asked for a scene cosine of {self._threshold:g} or more (images.thresholds.scene_pair) between the "
                f"pictures of an event, and for at least {least:.0%} that have it (images.stop_below). Found that "
                f"{refused:,} of {before:,} accepted pictures would go, for which up to {refused * self._candidates:,} "
                "would be drawn. Lower the threshold, or set images.stop_below to null to go on regardless."
            )

    def settle_rejections(self, digests: Sequence[str]) -> None:
        """Draw anew what people reject; where nothing new is valid, take another valid candidate.

        Args:
            digests: SHA-256 of rejected pictures, in the order in which they were rejected first.
        """
        for digest in digests:
            self._rejected.add(digest)
            for image_id in [key for key, draw in self.selection.items() if draw.candidate.sha256 == digest]:
                self.selection.pop(image_id).failed.append(REVIEW)
                self._draw_anew(image_id)
                if image_id not in self.selection:
                    self._select(image_id, self.cells[image_id])

    def rows(self) -> list[Candidate]:
        """All candidates with their verdicts, the accepted ones with their lowest scene pair."""
        lowest: dict[str, float | None] = {}
        for ids in self._events().values():
            for image_id, value in zip(ids, lowest_pair(self._cosines(ids)), strict=True):
                lowest[image_id] = None if np.isnan(value) else round(float(value), 4)
        return [
            row.model_copy(update={"scene_pair": lowest[image_id]}) if row.accepted else row
            for image_id, draws in self.cells.items()
            for row in with_verdicts(draws, self.selection.get(image_id))
        ]

    def _draw_anew(self, image_id: str) -> None:
        """Draw up to `candidates` further attempts, in batches until one is selected."""
        draws = self.cells[image_id]
        stop = len(draws) + self._candidates
        while len(draws) < stop and image_id not in self.selection:
            batch = self._draw(image_id, range(len(draws), min(len(draws) + self._batch, stop)))
            draws += batch
            self._select(image_id, batch)
        logger.info("%s is drawn anew: %d candidates", image_id, len(draws))

    def _select(self, image_id: str, draws: Sequence[Draw]) -> None:
        """Take the best of the candidates that nobody rejects and that are like the event's accepted pictures."""
        event = draws[0].candidate.event_id
        others = [one.scene for one in self.selection.values() if one.candidate.event_id == event]
        scenes = np.array(others, dtype=np.float64)
        for draw in draws:
            if not draw.failed and draw.candidate.sha256 in self._rejected:
                draw.failed.append(REVIEW)
            cosines = np.round(scenes @ draw.scene.astype(np.float64), 4) if len(scenes) else scenes
            if not draw.failed and (cosines < self._threshold).any():
                draw.failed.append(SCENE_PAIR)
        valid = [draw for draw in draws if not draw.failed]
        if valid:
            self.selection[image_id] = best(valid)

    def _events(self) -> dict[str, list[str]]:
        """event_id -> the cells that have an accepted picture."""
        events: dict[str, list[str]] = {}
        for image_id, draw in self.selection.items():
            events.setdefault(draw.candidate.event_id, []).append(image_id)
        return events

    def _cosines(self, ids: Sequence[str]) -> np.ndarray:
        return pair_cosines(np.stack([self.selection[image_id].scene for image_id in ids]))
