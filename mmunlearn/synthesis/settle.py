"""What can only be judged when all shards are drawn: pairs of scenes, and what people say of the pictures.

First the pairs of every event, whatever people say. Then the rejections in the order in which they were made, each
against the pictures that the other cells keep at that moment: so a further rejection never changes another cell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from mmunlearn.progress import progress
from mmunlearn.records import Candidate, Prompt, read_jsonl, read_manifest, write_manifest
from mmunlearn.synthesis.cells import Judge, reasons, with_verdicts
from mmunlearn.synthesis.event_references import read_references
from mmunlearn.synthesis.policy import REVIEW, SCENE_PAIR, Draw, Thresholds, best
from mmunlearn.synthesis.scene_pairs import lowest_pair, offenders, pair_cosines
from mmunlearn.synthesis.studio import PictureSettings, Studio
from mmunlearn.verdicts import read_verdicts, rejections, unmatched

Row = Draw[tuple[Candidate, np.ndarray]]
Redraw = Callable[[str, range], list[Row]]
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

    As few accepted pictures are refused as make every pair of an event alike enough; such a cell keeps another valid
    candidate or is drawn anew. A picture that anyone rejects is drawn anew, and only it. Either way, `candidates`
    further attempts are made for every refusal at most.

    Args:
        shards, scenes: of every shard, in the same order.
        verdicts: CSV files of the reviewers.
    """
    redraw = _Redrawing(
        read_jsonl(prompts, Prompt),
        references,
        settings,
        Thresholds(**thresholds),
        person_reference,
        batch,
        work,
    )
    settling = Settling(_read_cells(shards, scenes), redraw, redraw.thresholds.scene_pair, batch, candidates)
    settling.settle_pairs()
    said = read_verdicts(verdicts)
    settling.settle_rejections(rejections(said, "picture"))
    rows = settling.rows()
    if strange := unmatched(said, "picture", {row.sha256 for row in rows}):
        logger.warning(
            "%d verdicts are about no picture of this run: an older one's, or another run's", strange
        )
    write_manifest(output, rows)
    logger.info(
        "%d of %d cells accepted; refused: %d by people, %d by comparison with the event's other pictures",
        sum(row.accepted for row in rows),
        len(settling.cells),
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


class Settling:
    """The cells of a data set, and which candidate each keeps.

    Attributes:
        cells: image_id -> candidates by attempt, each with its scene feature (D,).
        kept: image_id -> the accepted candidate, for the cells that have one.
    """

    def __init__(
        self, cells: dict[str, list[Row]], redraw: Redraw, threshold: float, batch: int, candidates: int
    ) -> None:
        """`redraw(image_id, attempts)` gives further candidates; `threshold` is that of scene pairs."""
        self.cells, self._redraw, self._threshold = cells, redraw, threshold
        self._batch, self._candidates = batch, candidates
        self._refused: set[str] = set()
        first = {image_id: best(draws) for image_id, draws in cells.items()}
        self.kept = {image_id: draw for image_id, draw in first.items() if not draw.failed}

    def settle_pairs(self) -> None:
        """Refuse accepted pictures until every pair of an event is alike enough."""
        events: dict[str, list[str]] = {}
        for image_id, draw in self.kept.items():
            events.setdefault(_event(draw), []).append(image_id)
        for event in progress(sorted(events), "events", unit="event"):
            own = events[event]
            cosines = pair_cosines(np.stack([self.kept[image_id].item[1] for image_id in own]))
            offending = [own[index] for index in offenders(cosines, self._threshold)]
            for image_id in offending:
                self.kept.pop(image_id).failed.append(SCENE_PAIR)
            for image_id in offending:
                self._keep(image_id, event, self.cells[image_id])
                if image_id not in self.kept:
                    self._keep_fresh(image_id, event)

    def settle_rejections(self, digests: Sequence[str]) -> None:
        """Draw anew what people reject; where nothing new is valid, keep another valid candidate.

        Args:
            digests: SHA-256 of rejected pictures, in the order in which they were rejected first.
        """
        for digest in digests:
            self._refused.add(digest)
            rejected = {image_id: draw for image_id, draw in self.kept.items() if _sha256(draw) == digest}
            for image_id, draw in rejected.items():
                self.kept.pop(image_id).failed.append(REVIEW)
                self._keep_fresh(image_id, _event(draw))
                if image_id not in self.kept:
                    self._keep(image_id, _event(draw), self.cells[image_id])

    def rows(self) -> list[Candidate]:
        """All candidates with their verdicts, the accepted ones with their lowest scene pair."""
        lowest = self._lowest_pairs()
        return [
            row.model_copy(update={"scene_pair": lowest[image_id]}) if row.accepted else row
            for image_id, draws in self.cells.items()
            for row in with_verdicts(draws, self.kept.get(image_id))
        ]

    def _keep_fresh(self, image_id: str, event: str) -> None:
        """Draw up to `candidates` further attempts, in batches until one is kept."""
        draws = self.cells[image_id]
        stop = len(draws) + self._candidates
        while len(draws) < stop and image_id not in self.kept:
            new = self._redraw(image_id, range(len(draws), min(len(draws) + self._batch, stop)))
            draws += new
            self._keep(image_id, event, new)
        logger.info("%s is drawn anew: %d candidates", image_id, len(draws))

    def _keep(self, image_id: str, event: str, draws: Sequence[Row]) -> None:
        """Keep the best of the candidates that nobody rejects and that are like the event's accepted pictures."""
        others = self._scenes(event)
        for draw in draws:
            if not draw.failed and _sha256(draw) in self._refused:
                draw.failed.append(REVIEW)
            cosines = np.round(others @ draw.item[1].astype(np.float64), 4) if len(others) else others
            if not draw.failed and (cosines < self._threshold).any():
                draw.failed.append(SCENE_PAIR)
        valid = [draw for draw in draws if not draw.failed]
        if valid:
            self.kept[image_id] = best(valid)

    def _scenes(self, event: str) -> np.ndarray:
        """Scene features (N, D) float64 of the event's accepted pictures."""
        own = [draw.item[1] for draw in self.kept.values() if _event(draw) == event]
        return np.array(own, dtype=np.float64)

    def _lowest_pairs(self) -> dict[str, float | None]:
        events: dict[str, list[str]] = {}
        for image_id, draw in self.kept.items():
            events.setdefault(_event(draw), []).append(image_id)
        lowest: dict[str, float | None] = {}
        for own in events.values():
            features = np.stack([self.kept[image_id].item[1] for image_id in own])
            for image_id, value in zip(own, lowest_pair(pair_cosines(features)), strict=True):
                lowest[image_id] = None if np.isnan(value) else round(float(value), 4)
        return lowest


def _event(draw: Row) -> str:
    return draw.item[0].event_id


def _sha256(draw: Row) -> str:
    return draw.item[0].sha256


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
