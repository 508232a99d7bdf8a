"""Attributes of the fictitious people (age, gender, job, region): random, balanced combinations.

PEBench (section III-A) combines job, birthplace, age and gender at random and balances them (section III-B,
Figure 4). It gives counts only: 17 categories with 75 occupations, 7 continents with 55 regions. The lists, and the
ages that suit an occupation, are `resources/curation/*.yaml`.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from mmunlearn.files import read_yaml
from mmunlearn.records import Record
from mmunlearn.seeds import derive_seed

GENDERS = ("Female", "Male")
AGE_BANDS = ((18, 29), (30, 44), (45, 59), (60, 79))
"""First and last age of each band; people are spread evenly over the bands."""
_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "curation"


class Attributes(Record):
    """What is drawn for a person; name and appearance are written for it.

    `gender` and `birthplace` are worded as in Figure 9 of the paper: "24-year-old Female from Nairobi, Kenya".
    """

    job: str
    job_category: str
    birthplace: str
    continent: str
    age: int
    gender: str


def sample_attributes(n: int, seed: int) -> list[Attributes]:
    """Draw `n` people's attributes: equal for equal (n, seed), and balanced over each attribute by itself.

    No two genders, occupations, regions or age bands differ by more than one person. Categories and continents
    follow from their occupations and regions: which of these come once more than others is chosen so that the
    categories and continents are as even as the lengths of their lists permit. Ages suit the job.

    Raises:
        ValueError: `n` is negative.
    """
    if n < 0:
        raise ValueError(f"{n} people are asked for: n must not be negative")
    for attempt in count():  # a handful of people may have no job that the youngest may hold: draw again
        rng = Random(derive_seed("attributes", n, seed, attempt))
        jobs = _balanced(_groups("occupations"), n, rng)
        places = _balanced(_groups("regions"), n, rng)
        genders = _balanced({gender: [gender] for gender in GENDERS}, n, rng)
        bands = _fit(jobs, _balanced({band: [band] for band in AGE_BANDS}, n, rng), rng)
        if bands is not None:
            break
    return [
        Attributes(
            job=job,
            job_category=categories()[job],
            birthplace=place,
            continent=continents()[place],
            age=rng.choice(_ages_within(band, job)),
            gender=gender,
        )
        for job, place, gender, band in zip(jobs, places, genders, bands, strict=True)
    ]


def ages(job: str) -> tuple[int, int]:
    """First and last age that suit an occupation."""
    youngest, oldest = _group_of("ages", "youngest"), _group_of("ages", "oldest")
    return youngest.get(job, AGE_BANDS[0][0]), oldest.get(job, AGE_BANDS[-1][1])


def categories() -> dict[str, str]:
    """The category of each of the 75 occupations."""
    return _group_of("occupations")


def continents() -> dict[str, str]:
    """The continent of each of the 55 regions, which stand by a place in them: `Kumasi, Ghana`."""
    return _group_of("regions")


@cache
def _groups(name: str) -> dict[str, Any]:
    return read_yaml(_FOLDER / f"{name}.yaml")


@cache
def _group_of(name: str, part: str | None = None) -> dict:
    """The group of every value of a list, or of a part of it."""
    groups = _groups(name) if part is None else _groups(name)[part]
    return {value: group for group, values in groups.items() for value in values}


def _balanced(groups: dict, n: int, rng: Random) -> list:
    """`n` shuffled values: each as often as any other or once more; the extra ones go to the smallest groups."""
    values = [value for members in groups.values() for value in members]
    each, extra = divmod(n, len(values))
    spare = {group: rng.sample(members, len(members)) for group, members in groups.items()}
    size = {group: each * len(members) for group, members in groups.items()}
    drawn = values * each
    for _ in range(extra):
        group = min((group for group in spare if spare[group]), key=lambda group: (size[group], rng.random()))
        drawn.append(spare[group].pop())
        size[group] += 1
    rng.shuffle(drawn)
    return drawn


def _fit(jobs: list[str], bands: list[tuple[int, int]], rng: Random) -> list[tuple[int, int]] | None:
    """Exchange age bands between people until every job has one it permits; None where that fails."""
    bands = list(bands)
    for here, job in enumerate(jobs):
        if _ages_within(bands[here], job):
            continue
        partners = [
            there
            for there, other in enumerate(jobs)
            if _ages_within(bands[there], job) and _ages_within(bands[here], other)
        ]
        if not partners:
            return None
        there = rng.choice(partners)
        bands[here], bands[there] = bands[there], bands[here]
    return bands


def _ages_within(band: tuple[int, int], job: str) -> range:
    """The ages of a band that suit the job."""
    (first, last), (youngest, oldest) = band, ages(job)
    return range(max(first, youngest), min(last, oldest) + 1)
