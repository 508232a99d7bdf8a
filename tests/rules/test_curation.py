"""Curation: who and what the pictures show, and the prompts of all of them."""

from __future__ import annotations

import pytest

from mmunlearn.records import Event, Person, Prompt, RecordError, read_jsonl, write_jsonl
from tests.rules.standin import ROOT

SHIPPED = ROOT / "resources" / "pocket"


@pytest.mark.parametrize(("name", "kind"), [("people", Person), ("events", Event)])
def test_people_and_events_are_the_first_of_the_shipped_files(curated, name, kind):
    rows = read_jsonl(curated.results / "curation" / f"{name}.jsonl", kind)
    assert rows == read_jsonl(SHIPPED / f"{name}.jsonl", kind)[:4]
    assert f"curate_{name}: 4 {name} from the shipped curator" in curated.log(f"curate_{name}")


def test_there_is_one_prompt_for_every_person_at_every_event(curated):
    folder = curated.results / "curation"
    people = {row.person_id: row for row in read_jsonl(folder / "people.jsonl", Person)}
    events = {row.event_id: row for row in read_jsonl(folder / "events.jsonl", Event)}
    prompts = read_jsonl(folder / "prompts.jsonl", Prompt)
    assert [row.image_id for row in prompts] == [f"{one}-{other}" for one in people for other in events]
    for row in prompts:
        person, event = people[row.person_id], events[row.event_id]
        said = (person.name, person.job, person.birthplace, event.description, f"Person ID: {row.person_id}")
        assert all(part in row.prompt for part in said)
        assert row.drawing == {"identity": person.identity, "scene": event.scene}


@pytest.mark.parametrize(("rule", "what"), [("curate_people", "people"), ("curate_events", "events")])
def test_more_than_the_file_holds_is_refused(curated, tmp_path, rule, what):
    world = curated.copy(tmp_path / "world")
    with pytest.raises(RecordError, match=f"999 {what} are asked for.*lower curation.n_{what}"):
        world.run(rule, params={"n": 999}, output=["too-many.jsonl"])
    assert not (world.root / "too-many.jsonl").exists()


def test_a_name_within_another_name_is_refused(curated, tmp_path):
    """Every person metric looks for the name in an answer: `Ada Lund` would be found in `Ada Lundqvist`."""
    world = curated.copy(tmp_path / "world")
    people = read_jsonl(SHIPPED / "people.jsonl", Person)
    write_jsonl(
        tmp_path / "alike.jsonl", [people[0], people[1].model_copy(update={"name": f"{people[0].name} Jr"})]
    )
    with pytest.raises(RecordError, match="is part of"):
        world.run(
            "curate_people", input={"people": str(tmp_path / "alike.jsonl")}, params={"n": 2}, output=["x"]
        )
    assert not (world.root / "x").exists()
