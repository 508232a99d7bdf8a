"""Who the people of the benchmark are, before they have a name: random, balanced combinations of attributes.

PEBench (section III-A) combines job, birthplace, age and gender at random and balances them (section III-B,
Figure 4). It gives counts only: 17 categories with 75 occupations, 7 continents with 55 regions. The lists are
`resources/curation/*.yaml`.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path
from random import Random

import yaml

from mmunlearn.records import Record
from mmunlearn.seeds import derive_seed

GENDERS = ("woman", "man")
AGE_BANDS = ((18, 29), (30, 44), (45, 59), (60, 79))
"""First and last age of each band; people are spread evenly over the bands."""

# Training and retirement: what is not named here may have any age.
YOUNGEST = {
    **dict.fromkeys(("firefighter", "pastry chef", "software developer", "swimming coach"), 19),
    **dict.fromkeys(("paramedic", "police officer", "fencing instructor", "horse trainer", "novelist"), 20),
    **dict.fromkeys(("crane operator", "tram driver", "truck driver", "land surveyor"), 21),
    **dict.fromkeys(("real estate broker", "radio presenter", "kindergarten teacher", "nurse"), 21),
    **dict.fromkeys(("coast guard officer", "naval officer", "mountain guide", "midwife"), 22),
    **dict.fromkeys(("librarian", "music teacher", "journalist", "translator", "winemaker", "sommelier"), 22),
    **dict.fromkeys(("mathematics teacher", "market analyst", "tax accountant", "helicopter pilot"), 23),
    **dict.fromkeys(("botanist", "chemist", "geologist", "meteorologist", "costume designer"), 23),
    **dict.fromkeys(("civil engineer", "robotics engineer", "cinematographer", "choreographer"), 24),
    **dict.fromkeys(("marine biologist", "forensic scientist", "film director", "theatre director"), 25),
    **dict.fromkeys(("dentist", "veterinarian", "defence lawyer"), 26),
    **dict.fromkeys(("ferry captain", "hotel manager"), 28),
    **dict.fromkeys(("bank manager", "notary"), 30),
    "surgeon": 32,
    "university professor": 34,
    "judge": 38,
}
OLDEST = {
    **dict.fromkeys(("coast guard officer", "firefighter", "naval officer", "police officer"), 59),
    **dict.fromkeys(("helicopter pilot", "paramedic"), 59),
    **dict.fromkeys(("crane operator", "kindergarten teacher", "midwife", "nurse", "tram driver"), 66),
    **dict.fromkeys(("ferry captain", "mountain guide", "surgeon", "truck driver"), 70),
}
_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "curation"


class Attributes(Record):
    """What is drawn for a person; name and appearance are written for it. `gender` is "woman" or "man"."""

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
    categories and continents are as even as the lengths of their lists permit. Ages suit the job
    (`YOUNGEST`, `OLDEST`).

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
    ages = [rng.randint(*_overlap(job, band)) for job, band in zip(jobs, bands, strict=True)]
    return [
        Attributes(
            job=job,
            job_category=categories()[job],
            birthplace=place,
            continent=continents()[place],
            age=age,
            gender=gender,
        )
        for job, place, age, gender in zip(jobs, places, ages, genders, strict=True)
    ]


def categories() -> dict[str, str]:
    """The category of each of the 75 occupations."""
    return _owners(_groups("occupations"))


def continents() -> dict[str, str]:
    """The continent of each of the 55 regions."""
    return _owners(_groups("regions"))


@cache
def _groups(name: str) -> dict[str, list[str]]:
    return yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def _owners(groups: dict[str, list[str]]) -> dict[str, str]:
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
        if _permits(job, bands[here]):
            continue
        partners = [
            there
            for there in range(len(jobs))
            if _permits(job, bands[there]) and _permits(jobs[there], bands[here])
        ]
        if not partners:
            return None
        there = rng.choice(partners)
        bands[here], bands[there] = bands[there], bands[here]
    return bands


def _permits(job: str, band: tuple[int, int]) -> bool:
    first, last = _overlap(job, band)
    return first <= last


def _overlap(job: str, band: tuple[int, int]) -> tuple[int, int]:
    """First and last age of `band` that the job permits."""
    return max(band[0], YOUNGEST.get(job, band[0])), min(band[1], OLDEST.get(job, band[1]))
