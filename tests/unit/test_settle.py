"""The last word on pictures: every pair alike enough, and a rejection that changes no other cell."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.seeds import derive_seed
from mmunlearn.synthesis.policy import Draw, best
from mmunlearn.synthesis.scene_pairs import pair_cosines
from mmunlearn.synthesis.settle import Settlement
from tests.unit.report_fixtures import candidate

BATCH, CANDIDATES = 2, 4


def scene(seed: int, image_id: str, attempt: int) -> np.ndarray:
    """A unit vector in the plane; one in four points far away from the others."""
    lot = derive_seed(seed, image_id, attempt)
    angle = lot % 1000 / 1000 + (2.0 if lot % 4 == 0 else 0.0)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def drawn(seed: int, image_id: str, attempt: int) -> Draw:
    """A candidate of its own digest, of which one in three is refused by a filter."""
    failed = ["aesthetic"] if derive_seed(seed, "bad", image_id, attempt) % 3 == 0 else []
    beauty = derive_seed(seed, "beauty", image_id, attempt) % 100 / 10
    row = candidate(image_id, attempt, ", ".join(failed), sha256=f"{image_id}-{attempt}", aesthetic=beauty)
    return Draw(row, scene(seed, image_id, attempt), failed)


def settle(seed: int, size: int, threshold: float, rejected: list[str]) -> Settlement:
    ids = [f"p{number:03d}-e{number % 2:02d}" for number in range(size)]
    cells = {one: [drawn(seed, one, attempt) for attempt in range(BATCH)] for one in ids}

    def draw(image_id: str, attempts: range) -> list[Draw]:
        return [drawn(seed, image_id, attempt) for attempt in attempts]

    settlement = Settlement(cells, draw, threshold, BATCH, CANDIDATES)
    settlement.settle_pairs()
    settlement.settle_rejections(rejected)
    return settlement


def accepted(settlement: Settlement) -> dict[str, str]:
    return {image_id: draw.candidate.sha256 for image_id, draw in settlement.selection.items()}


worlds = (st.integers(0, 10**6), st.integers(1, 9), st.floats(-0.5, 0.95))


@given(*worlds, st.data())
def test_accepted_pictures_are_valid_alike_and_rejected_by_nobody(seed, size, threshold, data):
    first = sorted(accepted(settle(seed, size, threshold, [])).values())
    rejected = data.draw(st.lists(st.sampled_from(first), unique=True)) if first else []
    settlement = settle(seed, size, threshold, rejected)
    for event in ("e00", "e01"):
        draws = settlement.selection.values()
        scenes = [one.scene for one in draws if one.candidate.event_id == event]
        if scenes:
            assert (pair_cosines(np.stack(scenes)) >= np.float32(threshold) - 1e-6).all()
    assert not any(draw.failed for draw in settlement.selection.values())
    assert not set(accepted(settlement).values()) & set(rejected)
    for row in settlement.rows():
        assert row.accepted == (row.sha256 == accepted(settlement).get(row.image_id))
        assert ("review" in row.reject_reason) == (row.sha256 in rejected)
        assert row.accepted == (row.reject_reason == "")


@given(*worlds, st.data())
def test_a_further_rejection_changes_its_own_cell_alone(seed, size, threshold, data):
    """Whatever was rejected before, in whatever order cells lie: what people have confirmed elsewhere stays."""
    rejected: list[str] = []
    before = accepted(settle(seed, size, threshold, rejected))
    for _ in range(3):
        if not before:
            return
        victim = data.draw(st.sampled_from(sorted(before)))
        rejected = [*rejected, before[victim]]
        after = accepted(settle(seed, size, threshold, rejected))
        assert {key: value for key, value in after.items() if key != victim} == {
            key: value for key, value in before.items() if key != victim
        }
        assert after.get(victim) != before[victim]
        before = after


@given(*worlds, st.data())
def test_a_rejection_whose_clock_was_wrong_still_counts(seed, size, threshold, data):
    first = accepted(settle(seed, size, threshold, []))
    if not first:
        return
    victim = data.draw(st.sampled_from(sorted(first)))
    second = accepted(settle(seed, size, threshold, [first[victim]])).get(victim)
    if second is not None:
        settled = accepted(settle(seed, size, threshold, [second, first[victim]]))
        assert settled.get(victim) not in (first[victim], second)


def test_a_rejected_picture_is_drawn_anew_even_where_a_surplus_one_is_valid():
    settlement = settle(5, 9, -1.0, [])
    image_id = next(
        one for one, draws in settlement.cells.items() if all(not draw.failed for draw in draws)
    )  # both of its first candidates are valid
    again = settle(5, 9, -1.0, [accepted(settlement)[image_id]])
    assert again.selection[image_id].candidate.attempt >= BATCH
    assert len(again.cells[image_id]) <= BATCH + CANDIDATES
    assert best(settlement.cells[image_id]).candidate.attempt < BATCH
