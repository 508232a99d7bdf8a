"""Forget and retain sets: properties for any data set, percent and seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.dataset.splits import concepts_to_forget, make_split, split_concepts
from mmunlearn.records import RecordError, write_manifest
from tests.unit.report_fixtures import candidate

worlds = st.builds(
    lambda people, events, holes: {
        f"p{p:03d}-e{e:02d}": f"p{p:03d}"
        for p in range(people)
        for e in range(events)
        if (p * 7 + e * 3) % 11 not in holes
    },
    st.integers(20, 40),
    st.integers(2, 9),
    st.sets(st.integers(0, 10), max_size=2),
)
percents = st.sampled_from([5, 10, 15])
seeds = st.integers(0, 2**31)


def test_a_split_that_forgets_nothing_is_refused(tmp_path):
    write_manifest(tmp_path / "manifest.parquet", [candidate(f"p00{n}-e00", 0, "") for n in range(2)])
    with pytest.raises(
        RecordError, match=r"for 5% of its person ids. Found 2 .*Raise the percentage \(person05\)"
    ):
        split_concepts(tmp_path / "out.json", tmp_path / "manifest.parquet", split="person05", seed=1)
    split_concepts(tmp_path / "out.json", tmp_path / "manifest.parquet", split="person50", seed=1)


@given(worlds, percents, seeds)
def test_a_split_is_a_partition_that_halves_every_forgotten_concept(concept_of, percent, seed):
    split = make_split(concept_of, target="person", percent=percent, seed=seed)
    parts = split.forget_train + split.forget_test + split.retain
    assert sorted(parts) == sorted(concept_of)
    assert len(split.forgotten) == concepts_to_forget(len(set(concept_of.values())), percent)
    assert {concept_of[image] for image in split.forget_train + split.forget_test} <= set(split.forgotten)
    assert not {concept_of[image] for image in split.retain} & set(split.forgotten)
    train = Counter(concept_of[image] for image in split.forget_train)
    test = Counter(concept_of[image] for image in split.forget_test)
    assert all(0 <= train[concept] - test[concept] <= 1 for concept in split.forgotten)


@given(worlds, seeds)
def test_smaller_splits_lie_within_larger_ones(concept_of, seed):
    """With the same halves: what is held out at 5% is never trained on at 10%."""
    splits = [make_split(concept_of, target="person", percent=percent, seed=seed) for percent in (5, 10, 15)]
    for small, large in pairwise(splits):
        for part in ("forgotten", "forget_train", "forget_test"):
            assert set(getattr(small, part)) <= set(getattr(large, part)), part


@given(worlds, percents, seeds, st.randoms())
def test_the_order_of_pictures_changes_nothing(concept_of, percent, seed, random):
    shuffled = dict(random.sample(list(concept_of.items()), len(concept_of)))
    split = make_split(concept_of, target="person", percent=percent, seed=seed)
    assert make_split(shuffled, target="person", percent=percent, seed=seed) == split


def test_the_seed_decides_the_concepts_and_which_half_of_each_is_held_out():
    concept_of = {f"p{p:03d}-e{e:02d}": f"p{p:03d}" for p in range(20) for e in range(6)}
    concepts, halves = set(), {}
    for target in ("person", "event"):
        for seed in range(5):
            concepts.add(*make_split(concept_of, target=target, percent=5, seed=seed).forgotten)
            for image in make_split(concept_of, target=target, percent=100, seed=seed).forget_train:
                halves.setdefault((seed, image[:4]), set()).add(image[5:])
    assert len(concepts) > 5
    by_seed, by_person = ({frozenset(halves[one, "p000"]) for one in range(5)},
                          {frozenset(halves[0, f"p{p:03d}"]) for p in range(20)})  # fmt: skip
    assert len(by_seed) > 1 and len(by_person) > 5


def test_counts_of_the_paper():
    assert [concepts_to_forget(200, p) for p in (5, 10, 15)] == [10, 20, 30]
    assert [concepts_to_forget(40, p) for p in (5, 10, 15)] == [2, 4, 6]
    assert [concepts_to_forget(20, p) for p in (5, 10, 15)] == [1, 2, 3]
    assert [concepts_to_forget(n, 5) for n in (9, 10, 30, 49)] == [0, 1, 2, 2], "halves are rounded up"
