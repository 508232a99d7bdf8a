"""The attributes of people: complete lists, balanced draws, ages that suit the job."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from mmunlearn.curation.attributes import AGE_BANDS, GENDERS, ages, categories, continents, sample_attributes
from tests.rules.standin import ROOT


def spread(values, possible):
    """Largest minus smallest count over all possible values, drawn or not."""
    counts = Counter(values)
    assert set(counts) <= set(possible)
    return max(counts[value] for value in possible) - min(counts[value] for value in possible)


@pytest.mark.parametrize(
    ("name", "groups", "values", "owners"),
    [("occupations", 17, 75, categories), ("regions", 7, 55, continents)],
)
def test_the_lists_have_the_papers_counts(name, groups, values, owners):
    lists = yaml.safe_load((ROOT / "resources" / "curation" / f"{name}.yaml").read_text(encoding="utf-8"))
    members = [value for group in lists.values() for value in group]
    distinct = {value.casefold() for value in members}
    assert (len(lists), len(members), len(distinct)) == (groups, values, values)
    assert owners() == {value: group for group, members in lists.items() for value in members}


def test_every_occupation_follows_the_article_of_the_image_prompt():
    assert [job for job in categories() if job[0] in "aeio"] == []


@pytest.mark.parametrize(
    ("n", "seed"), [(200, 1), (200, 2), (200, 77), (40, 1), (137, 5), (500, 3), (1, 1), (0, 1)]
)
def test_draws_are_balanced_over_each_attribute(n, seed):
    people = sample_attributes(n, seed)
    assert len(people) == n
    bands = [band for person in people for band in AGE_BANDS if band[0] <= person.age <= band[1]]
    assert len(bands) == n
    assert spread(bands, AGE_BANDS) <= 1
    assert spread([person.gender for person in people], GENDERS) <= 1
    assert spread([person.job for person in people], categories()) <= 1
    assert spread([person.birthplace for person in people], continents()) <= 1
    for person in people:
        assert person.job_category == categories()[person.job]
        assert person.continent == continents()[person.birthplace]


@pytest.mark.parametrize("seed", range(1, 6))
def test_categories_and_continents_are_as_even_as_their_lists_permit(seed):
    people = sample_attributes(200, seed)
    assert spread([person.job_category for person in people], set(categories().values())) <= 1
    counts = Counter(person.continent for person in people)
    regions = Counter(continents().values())
    assert counts["Antarctica"] == 4 * regions["Antarctica"]  # all that a short list can give
    others = [counts[continent] for continent in regions if continent != "Antarctica"]
    assert max(others) - min(others) <= 1


def test_ages_suit_the_job():
    lists = yaml.safe_load((ROOT / "resources" / "curation" / "ages.yaml").read_text(encoding="utf-8"))
    limited = {job for limits in lists.values() for jobs in limits.values() for job in jobs}
    assert limited <= set(categories())
    assert (ages("judge"), ages("surgeon"), ages("beekeeper")) == ((38, 79), (32, 70), (18, 79))
    for seed in range(20):
        for person in sample_attributes(200, seed):
            first, last = ages(person.job)
            assert first <= person.age <= last


def test_a_draw_depends_on_its_number_and_seed_alone():
    first = sample_attributes(200, 1)
    assert sample_attributes(200, 1) == first
    assert sample_attributes(200, 2) != first


def test_attributes_are_combined_at_random():
    """No attribute decides another: all genders meet all bands, most categories most continents."""
    people = sample_attributes(200, 1)
    meetings = Counter(
        (person.gender, band) for person in people for band in AGE_BANDS if band[0] <= person.age <= band[1]
    )
    assert min(meetings[gender, band] for gender in GENDERS for band in AGE_BANDS) >= 12
    assert len({(person.job_category, person.continent) for person in people}) > 17 * 7 / 2


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        sample_attributes(-1, 1)
