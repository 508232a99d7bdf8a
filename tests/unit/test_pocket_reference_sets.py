"""The pocket World set: absent objects as POPE samples them, each in its subset."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from mmunlearn.pocket.objects import OBJECTS
from mmunlearn.pocket.pretraining_data import sample_training_scene
from mmunlearn.pocket.reference_sets import NegativeSampler, PocketReferenceSets
from mmunlearn.records import POPE_SUBSETS

PRESENT = (["tree"], ["boat"], ["tree", "lamp"])


@pytest.fixture(scope="module")
def sampler() -> NegativeSampler:
    return NegativeSampler(random.Random(1), n=5000)


def drawn(sampler: NegativeSampler, subset: str, present: list[str]) -> set[str]:
    rng = random.Random(1)
    return {sampler.sample(present, subset, rng) for _ in range(300)}


@pytest.mark.parametrize("present", PRESENT)
def test_absent_objects_are_any_or_one_of_five(sampler, present):
    names = {subset: drawn(sampler, subset, present) for subset in POPE_SUBSETS}
    assert len(names["popular"]) == len(names["adversarial"]) == 5
    assert names["popular"] | names["adversarial"] < names["random"]
    assert names["random"].isdisjoint(present)


@pytest.mark.parametrize("present", PRESENT)
def test_popular_ones_are_frequent_and_adversarial_ones_keep_company(sampler, present):
    rng = random.Random(2)
    scenes = [set(sample_training_scene(rng).objects) for _ in range(5000)]
    absent = drawn(sampler, "random", present)
    frequency = Counter(name for scene in scenes for name in scene & absent)
    together = Counter(name for scene in scenes if scene & set(present) for name in scene & absent)
    for subset, counts in (("popular", frequency), ("adversarial", together)):
        names = drawn(sampler, subset, present)
        assert mean(counts[name] for name in names) > 1.2 * mean(counts[name] for name in absent), subset


def test_popular_ones_are_the_same_whatever_is_present(sampler):
    sets = {
        subset: [drawn(sampler, subset, [name]) for name in OBJECTS] for subset in ("popular", "adversarial")
    }
    assert len(set().union(*sets["popular"])) == 6, "the sixth takes the place of one that is present"
    assert len(set().union(*sets["adversarial"])) > 6


def test_a_question_stays_in_its_subset(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(NegativeSampler, "sample", lambda self, present, subset, rng: f"{subset} thing")
    texts = {"person": "?", "event": "?"}
    sets = PocketReferenceSets({}, questions=texts, answers={}, size=32, events=tmp_path, work=tmp_path)
    rows = [row for row in sets.world(4, 1)[1] if row.answer == "No"]
    assert Counter(row.subset for row in rows) == dict.fromkeys(POPE_SUBSETS, 4)
    assert all(f"{row.subset} thing" in row.question for row in rows)
