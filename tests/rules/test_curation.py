"""Curation: who and what the pictures show, what reviewers let pass, and the prompts of all of them."""

from __future__ import annotations

import pytest

from mmunlearn.curation.acceptance import ReviewPending
from mmunlearn.records import Event, Person, Prompt, RecordError, read_jsonl, write_jsonl
from tests.loopback import ChatServer
from tests.rules.mini import mini_config
from tests.rules.standin import ROOT, World
from tests.unit.rows import save_verdicts, verdict

SHIPPED = ROOT / "resources" / "pocket"


@pytest.mark.parametrize(("name", "kind"), [("people", Person), ("events", Event)])
def test_people_and_events_are_the_first_of_the_shipped_files(curated, name, kind):
    folder = curated.results / "curation"
    rows = read_jsonl(folder / f"{name}.jsonl", kind)
    assert rows == read_jsonl(SHIPPED / f"{name}.jsonl", kind)[:4]
    assert (folder / "drafts" / f"{name}.jsonl").read_bytes() == (folder / f"{name}.jsonl").read_bytes()
    assert f"curate_{name}: 4 {name} from the shipped curator" in curated.log(f"curate_{name}")
    assert "4 people and 4 events go on, none rejected" in curated.log("accept_texts")


def test_there_is_one_prompt_for_every_person_at_every_event(curated):
    folder = curated.results / "curation"
    people = {row.person_id: row for row in read_jsonl(folder / "people.jsonl", Person)}
    events = {row.event_id: row for row in read_jsonl(folder / "events.jsonl", Event)}
    prompts = read_jsonl(folder / "prompts.jsonl", Prompt)
    assert [row.image_id for row in prompts] == [f"{one}-{other}" for one in people for other in events]
    for row in prompts:
        person, event = people[row.person_id], events[row.event_id]
        parts = (person.name, person.job, person.birthplace, event.description, f"Person ID: {row.person_id}")
        assert all(part in row.prompt for part in parts)
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
    options = {"people": str(tmp_path / "alike.jsonl")}
    with pytest.raises(RecordError, match="is part of"):
        world.run("curate_people", params={"n": 2}, config={"curation": {"shipped": options}}, output=["x"])
    assert not (world.root / "x").exists()


@pytest.mark.parametrize("name", ["people", "events"])
def test_a_rule_reruns_for_its_own_shipped_file_alone(curated, name):
    job, path = curated.job(f"curate_{name}"), f"resources/pocket/{name}.jsonl"
    assert job["input"] == {"pictures": []} and job["params"]["decided"] == ["none", [path]]


def test_a_rejected_person_is_replaced_by_the_next_of_the_file(curated, tmp_path):
    world = curated.copy(tmp_path / "world")
    people = read_jsonl(SHIPPED / "people.jsonl", Person)
    folder = reject(world, people[1])
    with pytest.raises(
        ReviewPending, match=r"1 that somebody rejected \(p001\).*results/mini/review/texts.html"
    ):
        world.run("accept_texts", config={"review": {"verdicts": folder}})
    world.run("curate_people", config={"review": {"verdicts": folder}})
    world.run("accept_texts", config={"review": {"verdicts": folder}})
    rows = read_jsonl(world.results / "curation" / "people.jsonl", Person)
    assert rows == [people[0], *people[2:5]]


def test_texts_wait_for_the_reviewers_that_the_configuration_asks_for(curated, tmp_path):
    world = curated.copy(tmp_path / "world")
    with pytest.raises(ReviewPending, match="Found 8 that await review"):
        world.run("accept_texts", params={"reviewers": 1})


def reject(world, row):
    save_verdicts(world.root / "verdicts" / "kim.csv", verdict(row))
    return "verdicts"


def test_the_rules_run_with_a_language_model(tmp_path):
    """Backend `openai`: no file is an input, and the replies are kept in work/."""

    def answer(body):
        if body["messages"][0]["content"].startswith("I want"):
            return {
                "name": ["Ada Lund", "Bo Ek", "Cy Falk", "Di Gran"][len(server.requests) - 1],
                "appearance": "A.",
            }
        return {"events": [{"theme": f"theme {i}", "features": f"It is {i}."} for i in range(4)]}

    with ChatServer(answer) as server:
        config = mini_config()
        config["curation"] |= {"backend": "openai"}
        config["images"] |= {"generator": "flux"}  # the pocket one cannot draw what a language model writes
        config["curation"]["openai"] |= {"base_url": server.base_url, "key_env": None}
        world = World.make(tmp_path / "world", config)
        assert world.job("curate_people")["input"] == {"pictures": []}
        for _ in range(2):
            for rule in ("curate_people", "curate_events", "accept_texts", "write_prompts"):
                world.run(rule)
    assert len(server.requests) == 5 and len(list((world.root / "work" / "replies").iterdir())) == 5
    prompts = read_jsonl(world.results / "curation" / "prompts.jsonl", Prompt)
    assert len(prompts) == 16 and all(row.drawing is None for row in prompts)
    assert "gpt-4o: 0 asked, 4 from the cache" in world.log("curate_people")
