"""People and events from a language model: the paper's prompts, what is asked again, and what never changes."""

from __future__ import annotations

import itertools
import logging
import re

import pytest

from mmunlearn.chat import ChatError
from mmunlearn.curation.attributes import sample_attributes
from mmunlearn.curation.curate import check_events, check_people, curate
from mmunlearn.curation.openai import CurationError, OpenAICurator
from mmunlearn.records import Event, Person, read_jsonl
from mmunlearn.verdicts import text_digest
from tests.loopback import ChatServer, RawReply, Step
from tests.unit.rows import save_verdicts, verdict

OPTIONS = {"model": "m", "key_env": "TEST_KEY", "temperature": 1.0, "timeout": 5.0, "max_asks": 3}
FIRST = (
    "Ada",
    "Bruno",
    "Chiara",
    "Dmitri",
    "Esra",
    "Farid",
    "Greta",
    "Hideo",
    "Imani",
    "Jorge",
    "Kamala",
    "Luis",
)
LAST = ("Abara", "Brandt", "Castell", "Dvorak", "Eriksen", "Fontaine", "Grieg", "Horvath", "Ito", "Jansen")
THEMES = [
    "kite fair",
    "tea market",
    "night regatta",
    "apple harvest",
    "chess cafe",
    "ice carnival",
    "film shoot",
]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-secret-0123456789")
    monkeypatch.setattr("mmunlearn.chat.FIRST_WAIT", 0.001)


@pytest.fixture
def curator(tmp_path):
    def make(server: ChatServer, **changed):
        options = OPTIONS | {"base_url": server.base_url} | changed
        return OpenAICurator(options, seed=5, work=tmp_path / "work")

    return make


class Writer:
    """A model that never repeats itself. `wrong` replaces its first replies to some people or themes.

    Args:
        wrong: replies by the number of the call, from 0.
    """

    def __init__(self, wrong=None):
        self.wrong, self.calls = wrong or {}, 0
        self.names = (f"{first} {last}" for last, first in itertools.product(LAST, FIRST))
        self.themes = itertools.chain(THEMES, (f"theme {i}" for i in itertools.count()))

    def __call__(self, body):
        wrong, self.calls = self.wrong.get(self.calls), self.calls + 1
        if wrong is not None:
            return wrong
        numbers = re.findall(r"Please generate (\d+)", body["messages"][-1]["content"])
        first = body["messages"][0]["content"]
        if not numbers and first.startswith("I want"):
            return person(next(self.names))
        return events(*itertools.islice(self.themes, int(numbers[-1] if numbers else 1)))


def person(name, appearance="grey hair\nand a scar. "):
    return {"name": name, "appearance": appearance}


def events(*themes):
    return {
        "events": [{"theme": one, "features": f"People meet at the {one}.\n\nIt is loud."} for one in themes]
    }


def test_the_person_prompt_is_the_papers_with_attributes_of_their_own(curator):
    with ChatServer(Writer()) as server:
        rows = curator(server).people(4, set())
    attributes = sample_attributes(4, 5)
    assert [request.messages for request in server.requests] == [
        [
            {
                "role": "user",
                "content": "I want to create a fictional character with the following attributes:\n"
                f"Job: {one.job}\nBirthplace: {one.birthplace}\nAge: {one.age}\nGender: {one.gender}\n"
                "generate a character’s appearance and name:",
            }
        ]
        for one in attributes
    ]
    assert rows[2] == Person(
        person_id="p002", name="Chiara Abara", age=attributes[2].age, gender=attributes[2].gender,
        job=attributes[2].job, birthplace=attributes[2].birthplace, appearance="grey hair and a scar.",
    )  # fmt: skip
    check_people(rows)


def test_the_events_prompt_is_the_papers_with_the_wanted_number(curator):
    with ChatServer(Writer()) as server:
        rows = curator(server).events(5, set())
    (request,) = server.requests
    assert request.messages[0]["content"] == (
        "Please generate 5 event scenarios, each with a distinct theme and a detailed description of its features. "
        "The description of each event should include the following:\n"
        "Theme: The core content or purpose of the event.\n"
        "Features: Specific details of the event, such as participants, environment, atmosphere, location, etc., "
        "ensuring the description is vivid, concrete, and visually rich."
    )
    assert [row.event_id for row in rows] == ["e00", "e01", "e02", "e03", "e04"]
    assert [row.theme for row in rows] == THEMES[:5]
    assert rows[0] == Event(
        event_id="e00", theme="kite fair", description="People meet at the kite fair. It is loud."
    )
    check_events(rows)


def test_a_second_run_calls_nothing(curator, caplog):
    caplog.set_level(logging.INFO, "mmunlearn")
    with ChatServer(Writer({1: "garbage"})) as server:
        first = curator(server).people(5, set()), curator(server).events(4, set())
        calls = len(server.requests)
        again = curator(server).people(5, set()), curator(server).events(4, set())
    assert again == first and len(server.requests) == calls == 7
    assert caplog.messages[-1] == "m: 0 asked, 1 from the cache"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("garbage", "is not JSON"),
        ({"name": "Zora Quist"}, "'appearance' is a required property"),
        (person(" \n"), "The name is empty."),
        (person("Zora Quist", ""), "The appearance is empty."),
        (person("ada ábara"), "The name cannot be used"),
        (person("Ada Abara Smith"), "The name cannot be used"),
        (person("Abara"), "The name cannot be used"),
        (RawReply('{"name": "Zo', "length"), "was cut off"),
        (RawReply(None, "stop", "I cannot do that."), "is a refusal: I cannot do that."),
    ],
)
def test_a_person_who_cannot_be_used_is_asked_for_again_with_the_problem(curator, wrong, problem):
    with ChatServer(Writer({1: wrong})) as server:
        rows = curator(server).people(3, set())
    first, again = server.requests[1].messages, server.requests[2].messages
    assert len(server.requests) == 4 and again[:1] == first
    assert [one["role"] for one in again] == ["user", "assistant", "user"] and again[1]["content"]
    assert problem in again[2]["content"]
    assert [row.name for row in rows] == ["Ada Abara", "Bruno Abara", "Chiara Abara"]


def test_after_max_asks_the_person_is_named(curator):
    with ChatServer(Writer(dict.fromkeys(range(1, 9), person("Ada Abara")))) as server:
        with pytest.raises(CurationError) as caught:
            curator(server).people(3, set())
        assert len(server.requests) == 1 + 3
        one = sample_attributes(3, 5)[1]
        parts = ["person p001", one.job, one.birthplace, str(one.age), one.gender]
        parts += ["3 calls", "name cannot be used", "curation.openai.max_asks"]
        assert all(part in str(caught.value) for part in parts)
        server.answer = Writer()
        server.answer.names = iter(["Bruno Abara", "Chiara Abara"])
        rows = curator(server, max_asks=4).people(3, set())
    assert [row.name for row in rows] == ["Ada Abara", "Bruno Abara", "Chiara Abara"]
    assert len(server.requests) == 1 + 3 + 2, "the replies so far are not asked for again"


def test_a_rejected_person_is_written_anew_and_no_other(curator):
    with ChatServer(Writer()) as server:
        before = curator(server).people(6, set())
        after = curator(server).people(6, {text_digest(before[2])})
        assert len(server.requests) == 7
        assert "A reviewer rejected this text." in server.requests[-1].messages[-1]["content"]
        assert curator(server).people(6, {text_digest(before[2])}) == after and len(server.requests) == 7
    assert after[:2] + after[3:] == before[:2] + before[3:]
    fields = {"person_id", "job", "birthplace", "age", "gender"}
    assert after[2].model_dump(include=fields) == before[2].model_dump(include=fields)
    assert after[2].name != before[2].name


def test_later_rejections_leave_earlier_replacements_alone(curator):
    """p004 is replaced first; p001's new name then clashes with that replacement, and p001 gives way."""
    clash = person("Zora Quist")
    with ChatServer(Writer({6: clash, 7: clash})) as server:
        base = curator(server).people(6, set())
        refused = {text_digest(base[4])}
        second = curator(server, max_asks=9).people(6, refused)
        assert second[4].name == "Zora Quist" and len(server.requests) == 7
        refused.add(text_digest(base[1]))
        third = curator(server, max_asks=9).people(6, refused)
        assert third[4] == second[4] and third[1].name not in ("Zora Quist", base[1].name)
        assert len(server.requests) == 9
        refused.add(text_digest(third[1]))
        fourth = curator(server, max_asks=9).people(6, refused)
        assert len(server.requests) == 10
        assert curator(server, max_asks=9).people(6, refused) == fourth and len(server.requests) == 10
    assert [fourth[i] for i in (0, 2, 3, 4, 5)] == [third[i] for i in (0, 2, 3, 4, 5)]
    check_people(fourth)


@pytest.mark.parametrize(
    ("wrong", "usable", "problem"),
    [
        ("garbage", 0, "is not JSON"),
        (RawReply('{"events": [', "length"), 0, "was cut off"),
        (RawReply(None, "stop", "No."), 0, "is a refusal"),
        (events("a fair", "a race"), 2, "There are 2 events."),
        (events("a fair", "A FAIR", "a race", "a ball"), 3, "The theme 'A FAIR' occurs twice."),
        (events("a fair", " ", "a race", "a ball"), 3, "The theme of an event are empty."),
        ({"events": [events("a fair")["events"][0] | {"theme": str(i)} for i in range(4)]}, 1, "occur twice"),
        ({"events": []}, 0, "There are 0 events."),
    ],
)
def test_only_missing_events_are_asked_for_again(curator, wrong, usable, problem):
    with ChatServer(Writer({0: wrong})) as server:
        rows = curator(server).events(4, set())
    assert len(server.requests) == 2
    message = server.requests[1].messages[-1]["content"]
    assert problem in message and f"Please generate {4 - usable} more" in message
    taken = f"These themes are taken: {'; '.join(row.theme for row in rows[:usable])}."
    assert (taken in message) == bool(usable)
    assert [row.event_id for row in rows] == ["e00", "e01", "e02", "e03"]
    check_events(rows)


def test_surplus_events_are_left_out(curator):
    with ChatServer(lambda body: events(*THEMES)) as server:
        assert [row.theme for row in curator(server).events(2, set())] == THEMES[:2]


def test_after_max_asks_the_missing_events_are_counted(curator):
    message = r"4 events, 1 of which it wrote,.*3 calls.*theme 'kite fair'"
    with ChatServer(lambda body: events("kite fair")) as server, pytest.raises(CurationError, match=message):
        curator(server).events(4, set())
    assert len(server.requests) == 3


def test_a_rejected_event_is_replaced_in_its_place_and_no_other(curator):
    with ChatServer(Writer()) as server:
        base = curator(server).events(4, set())
        refused = {text_digest(base[3])}
        second = curator(server).events(4, refused)
        refused.add(text_digest(base[1]))
        third = curator(server).events(4, refused)
        assert len(server.requests) == 3
        assert curator(server).events(4, refused) == third and len(server.requests) == 3
    assert second[:3] == base[:3] and second[3].theme == THEMES[4]
    assert [third[i] for i in (0, 2, 3)] == [second[i] for i in (0, 2, 3)] and third[1].theme == THEMES[5]
    message = server.requests[1].messages[-1]["content"]
    assert "Please generate 1 event" in message and all(theme in message for theme in THEMES[:4])


@pytest.mark.parametrize("reply", [events("kite fair"), events("a ball", "a race"), events()])
def test_a_replacement_that_cannot_be_used_ends_with_its_event_named(curator, reply):
    with ChatServer(Writer(dict.fromkeys(range(1, 9), reply))) as server:
        base = curator(server).events(4, set())
        with pytest.raises(CurationError, match=r"event e02 \(instead of 'night regatta'\)"):
            curator(server).events(4, {text_digest(base[2])})


@pytest.mark.parametrize(("status", "code"), [(400, None), (400, "invalid_prompt"), (403, None), (422, None)])
def test_a_person_whom_the_endpoint_refuses_is_asked_for_in_other_words(curator, status, code):
    """What follows is the same in a rerun, which asks nothing: the refusal is kept like a reply."""

    class Picky(ChatServer):
        def take(self, request):
            super().take(request)
            return Step(status, message="flagged", code=code) if request.messages == second else Step()

    second: list = []
    with Picky(Writer()) as server:
        curator(server).people(3, set())
        second += server.requests[1].messages
    with Picky(Writer()) as server:
        rows = curator(server).people(3, set())
        first = [request.messages for request in server.requests]
        assert curator(server).people(3, set()) == rows and len(server.requests) == len(first)
    assert [len(messages) for messages in first] == [1, 1, 1, 3, 1][code is not None :], (
        "a plain one if need be"
    )
    again = first[-2]
    assert again[:1] == second and f"is a refusal: status {status}: flagged" in again[2]["content"]
    assert len({row.name for row in rows}) == 3


def test_an_endless_reply_is_not_sent_back_whole(curator):
    with ChatServer(Writer({0: "no " * 10**6})) as server:
        assert len(curator(server).people(1, set())) == 1
    assert [len(one["content"]) < 110_000 for one in server.requests[1].messages] == [True] * 3


def test_an_endpoint_that_refuses_every_text_ends_the_job_and_is_asked_again(curator):
    with ChatServer(Writer(), [Step(400, message="no schema")] * 2) as server:
        with pytest.raises(ChatError, match=r"no schema.*plain one"):
            curator(server).people(2, set())
        assert len(server.requests) == 2
        assert len(curator(server).people(2, set())) == 2


def test_events_that_the_endpoint_refuses_are_asked_for_again(curator):
    with ChatServer(Writer(), [Step(400, code="content_filter", message="flagged")]) as server:
        assert len(curator(server).events(3, set())) == 3
    assert "status 400: flagged" in server.requests[1].messages[-1]["content"]


def test_a_dead_endpoint_loses_nothing(curator):
    """A run that broke off goes on where it was."""
    with ChatServer(Writer(), [None, None, *[Step(500)] * 6]) as server:
        with pytest.raises(ChatError, match="status 500"):
            curator(server).people(4, set())
        rows = curator(server).people(4, set())
    assert len(server.requests) == 2 + 6 + 2 and len({row.name for row in rows}) == 4


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (person("Ada\x1b[31m Zorn"), r"name must be one line without control characters, found U\+001B"),
        (person("Ada " + "Zorn" * 30), "name must have 80 characters or fewer, found 124"),
        (person("Ada Zorn", "..."), "appearance must hold letters"),
        (person("Ada Zorn", "a\u202eb"), r"appearance must be one line .* found U\+202E"),
        (person("Ada Zorn", "x" * 1001), "appearance must have 1000 characters or fewer"),
    ],
)
def test_a_text_that_no_field_may_hold_is_asked_for_again(curator, reply, problem):
    """As of the files of one's own: see docs/people_and_events.md."""
    with ChatServer(Writer({0: reply})) as server:
        (row,) = curator(server).people(1, set())
    assert row.name == "Ada Abara" and len(server.requests) == 2
    assert re.search(problem, server.requests[1].messages[-1]["content"])


@pytest.mark.parametrize("theme", ["\x07 fair", "t" * 101, "!!!"])
def test_a_theme_that_no_field_may_hold_is_asked_for_again(curator, theme):
    with ChatServer(Writer({0: events(theme)})) as server:
        (row,) = curator(server).events(1, set())
    assert row.theme == THEMES[0] and "theme must " in server.requests[1].messages[-1]["content"]


@pytest.mark.parametrize(("what", "record"), [("people", Person), ("events", Event)])
def test_drafts_are_without_what_the_verdicts_reject(tmp_path, what, record):
    with ChatServer(Writer()) as server:
        settings = {
            "what": what,
            "curator": "openai",
            "n": 3,
            "seed": 5,
            "work": tmp_path / "work",
            "generator": "flux",
        }
        settings |= {"options": OPTIONS | {"base_url": server.base_url}, "generator": "flux"}
        curate(tmp_path / "a.jsonl", **settings, verdicts=[])
        before = read_jsonl(tmp_path / "a.jsonl", record)
        path = save_verdicts(tmp_path / "kim.csv", verdict(before[1]))
        curate(tmp_path / "b.jsonl", **settings, verdicts=[path])
    after = read_jsonl(tmp_path / "b.jsonl", record)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
