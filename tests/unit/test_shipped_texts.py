"""The people and events of the paper scale: complete, checked, and no two alike."""

from __future__ import annotations

import itertools
import re

import pytest

from mmunlearn.curation.attributes import sample_attributes
from mmunlearn.curation.curate import check_events, check_people
from mmunlearn.curation.prompts import make_prompt
from mmunlearn.records import Event, Person, read_jsonl
from mmunlearn.text import fold
from tests.rules.standin import ROOT

FOLDER = ROOT / "resources" / "pebench"


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return read_jsonl(FOLDER / "people.jsonl", Person)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return read_jsonl(FOLDER / "events.jsonl", Event)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.casefold())


def repeated_runs(texts: list[str], length: int) -> set[tuple[str, ...]]:
    """Runs of `length` words that occur in more than one text."""
    seen, repeated = set(), set()
    for text in texts:
        spoken = words(text)
        runs = {tuple(spoken[start : start + length]) for start in range(len(spoken) - length + 1)}
        repeated |= seen & runs
        seen |= runs
    return repeated


def test_there_are_200_people_and_40_events(people, events):
    assert [person.person_id for person in people] == [f"p{index:03d}" for index in range(200)]
    assert [event.event_id for event in events] == [f"e{index:02d}" for index in range(40)]
    assert {person.identity for person in people} == {event.scene for event in events} == {None}
    check_people(people)
    check_events(events)


def test_people_have_the_sampled_attributes(people):
    fields = {"job", "birthplace", "age", "gender"}
    drawn = [one.model_dump(include=fields) for one in sample_attributes(200, 1)]
    assert [person.model_dump(include=fields) for person in people] == drawn


@pytest.mark.parametrize("world", ["pebench", "pocket"])
def test_gender_and_birthplace_are_worded_as_in_figure_9(world):
    """ "a Master's Student 24-year-old Female from Nairobi, Kenya"."""
    for person in read_jsonl(ROOT / "resources" / world / "people.jsonl", Person):
        assert person.gender in ("Female", "Male")
        assert re.fullmatch(r"[^,]*\w, [^,]*\w", person.birthplace), person


def test_the_prompt_is_the_paper_s(people, events):
    who = people[0]
    assert make_prompt(who, events[0]).prompt == (
        "A photo of a mathematics teacher 79-year-old Female from Dunedin, New Zealand, named Maureen Kilgarriff, with "
        f"{who.appearance}.: {events[0].description} Generate this photo with the Person ID: p000 and with file name "
        "IMG_6105.CR2."
    )


def test_names_are_told_apart_by_any_word(people):
    """Stricter than the check: no first and no last name is used twice, so that a partial answer is decided."""
    names = [fold(person.name).split() for person in people]
    assert len({name[0] for name in names}) == len({name[-1] for name in names}) == len(people)


def test_names_are_not_those_of_the_pocket_world(people):
    pocket = read_jsonl(ROOT / "resources" / "pocket" / "people.jsonl", Person)
    assert {fold(person.name) for person in people}.isdisjoint(fold(person.name) for person in pocket)


def test_appearances_fit_the_prompt(people, events):
    for person in people:
        spoken = words(person.appearance)
        assert 20 <= len(spoken) <= 60, person.person_id
        assert not set(fold(person.name).split()) & set(fold(person.appearance).split()), person.person_id
        assert person.appearance == person.appearance.strip().rstrip(".,;")
        assert not person.appearance.startswith("with ")
        wrong = {"Female": {"he", "his", "him"}, "Male": {"she", "her", "hers"}}[person.gender]
        assert not wrong & set(spoken), person.person_id
    assert ".. " not in make_prompt(people[0], events[0]).prompt


def test_appearances_are_not_made_from_one_mould(people):
    appearances = [person.appearance for person in people]
    assert repeated_runs(appearances, 6) == set()
    assert len({tuple(words(appearance)[:3]) for appearance in appearances}) > 190


def test_descriptions_are_rich_and_apart(events):
    for event in events:
        assert 30 <= len(words(event.description)) <= 70, event.event_id
        assert event.description.endswith(".")
    for first, second in itertools.combinations(events, 2):
        one, other = set(words(first.description)), set(words(second.description))
        assert len(one & other) / len(one | other) < 0.25, (first.theme, second.theme)
    assert repeated_runs([event.description for event in events], 4) == set()
