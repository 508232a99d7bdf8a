"""Fields of people and events: what they may hold, that all that is wrong is said once, and that the manual says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mmunlearn.curation.curate import check_events, check_people, curate
from mmunlearn.curation.fields import AGES, LONGEST
from mmunlearn.pocket.identities import ATTRIBUTES
from mmunlearn.pocket.scenes import CHOICES, MOST_OBJECTS
from mmunlearn.records import Event, Person, RecordError, read_jsonl
from tests.rules.standin import ROOT
from tests.unit.rows import event, person

PAGE = ROOT / "docs" / "people_and_events.md"
PEOPLE = [
    {"person_id": f"p{n}", "name": name, "age": 40, "gender": "Female", "job": "pilot", "birthplace": "Oslo",
     "appearance": "Tall.", "identity": {"hair": "bob", "hair_color": "black", "skin": "tan"}}
    for n, name in enumerate(("Ada Lund", "Bo Berg", "Cy Falk"))
]  # fmt: skip
EVENTS = [
    {"event_id": f"e{n}", "theme": theme, "description": f"People at the {theme}.",
     "scene": {"sky": "day", "ground": "snow", "objects": ["pine"]}}
    for n, theme in enumerate(("fair", "race"))
]  # fmt: skip


def run(folder: Path, what: str, rows: list[Any], generator: str | None = "pocket") -> list[Any]:
    """Curate rows of a file of one's own."""
    path = folder / f"my_{what}.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows))
    curate(
        folder / "out.jsonl", what=what, curator="shipped", options={"people": str(path), "events": str(path)},
        generator=generator, n=len(rows), seed=1, verdicts=[], work=folder,
    )  # fmt: skip
    return read_jsonl(folder / "out.jsonl", Person if what == "people" else Event)


def changed(rows: list[dict], **fields: Any) -> list[dict]:
    return [rows[0], rows[1] | fields, *rows[2:]]


TEXTS = [
    ("", "must hold letters, found ''"),
    ("  ", "must hold letters, found '  '"),
    ("\u200b", "must hold letters"),
    ("...", "must hold letters"),
    (" Ada Zorn", "must have no white space around it, found ' Ada Zorn'"),
    ("Ada Zorn\u00a0", "must have no white space around it"),
    ("Ada\nZorn", r"must be one line without control characters, found U\+000A"),
    ("Ada\tZorn", r".*found U\+0009"),
    ("Ada\x00 Zorn", r".*found U\+0000"),
    ("Ada\x1b[31m Zorn", r".*found U\+001B"),
    ("Ada\x85Zorn", r".*found U\+0085"),
    ("Ada\u2028Zorn", r".*found U\+2028"),
    ("Ada \u202eZorn", r".*found U\+202E"),
    ("Ada \ue000Zorn", r".*found U\+E000"),
    ("Ada <image> Zorn", r"must not hold '<image>', which models may read as a token"),
    ("Ada Zorn<|im_end|>", r"must not hold '<\|im_end\|>'"),
    ("Ada " + "Zo" * 3000, r"must have \d+ characters or fewer, found 6,004: 'Ada Zo.*\.\.\."),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
@pytest.mark.parametrize("field", LONGEST["person"])
def test_a_text_of_a_person_is_a_line_of_bounded_length(tmp_path, field, text, message):
    where = re.escape("my_people.jsonl, line 2 ('p1', ")
    with pytest.raises(RecordError, match=rf"{where}.*\): {field} {message}.*people_and_events\.md"):
        run(tmp_path, "people", changed(PEOPLE, **{field: text}))


@pytest.mark.parametrize(("text", "message"), TEXTS)
@pytest.mark.parametrize("field", LONGEST["event"])
def test_a_text_of_an_event_is_a_line_of_bounded_length(tmp_path, field, text, message):
    with pytest.raises(RecordError, match=rf"my_events\.jsonl, line 2 \('e1', .*\): {field} {message}"):
        run(tmp_path, "events", changed(EVENTS, **{field: text}))


@pytest.mark.parametrize("field", [*LONGEST["person"], *LONGEST["event"]])
def test_a_text_may_be_as_long_as_its_bound(field):
    kind = "person" if field in LONGEST["person"] else "event"
    limit = LONGEST[kind][field]
    text = "Ada " + "x" * (limit - 4)
    check, row = (check_people, person) if kind == "person" else (check_events, event)
    names = {} if field == "name" or kind == "event" else {"name": "Ada Lund"}
    check([row(0, **names | {field: text})])
    with pytest.raises(
        RecordError, match=f"{field} must have {limit:} characters or fewer, found {limit + 1:,}"
    ):
        check([row(0, **names | {field: text + "x"})])


@pytest.mark.parametrize("age", [0, -1, 121, 10**9, 10**30, 41.5, 41.0, "41", True, None, "NaN", [41]])
def test_an_age_is_a_whole_number_of_years(tmp_path, age):
    with pytest.raises(RecordError, match=r"line 2 \(.*p1.*\): age.*found "):
        run(tmp_path, "people", changed(PEOPLE, age=age))
    assert [one.age for one in run(tmp_path, "people", changed(PEOPLE, age=1))] == [40, 1, 40]


@pytest.mark.parametrize("value", ["", "p-1", "p 1", "p/1", "../p1", "p1\n", "é1", "٣", "²", "p" * 33])
@pytest.mark.parametrize("what", ["people", "events"])
def test_an_id_is_part_of_a_file_name(tmp_path, what, value):
    rows, field = (PEOPLE, "person_id") if what == "people" else (EVENTS, "event_id")
    with pytest.raises(
        RecordError, match=rf"line 2 .*: {field} '.*' must be letters and digits only, 1 to 32"
    ):
        run(tmp_path, what, changed(rows, **{field: value}))


def test_ids_of_reference_pictures_are_taken(tmp_path):
    """`ref0-e05` is a reference of e05, drawn under that name."""
    with pytest.raises(RecordError, match="person_id 'ref0' is taken by references"):
        run(tmp_path, "people", changed(PEOPLE, person_id="ref0"))


@pytest.mark.parametrize(
    ("what", "fields", "message"),
    [
        ("people", {"person_id": "p0"}, "line 2: person_id 'p0' a second time, after line 1"),
        ("people", {"person_id": "P0"}, "person_id must be unique, but 'p0' occurs 2 times"),
        ("people", {"name": "ＡＤＡ Lund"}, "name must be unique, but 'ada lund' occurs 2 times"),
        ("events", {"event_id": "E0"}, "event_id must be unique, but 'e0' occurs 2 times"),
        ("events", {"theme": "ＦＡＩＲ"}, "theme must be unique, but 'fair' occurs 2 times"),
        (
            "events",
            {"description": "people at the  FAIR."},
            "description must be unique, but 'people at the fair.'",
        ),
    ],
)
def test_what_only_looks_different_is_there_twice(tmp_path, what, fields, message):
    with pytest.raises(RecordError, match=message):
        run(tmp_path, what, changed(PEOPLE if what == "people" else EVENTS, **fields))


HAIR = ", ".join(json.dumps(one) for one in ATTRIBUTES["hair"])
LOOK = PEOPLE[0]["identity"]
IDENTITIES = [
    (None, "an object with hair, hair_color, skin is needed, found None"),
    ({}, rf"hair is needed: one of {HAIR}; .*hair_color is needed: .*skin is needed"),
    (LOOK | {"hair": "wig"}, rf"hair must be one of {HAIR}, not 'wig'"),
    (LOOK | {"hair": ["bob"]}, r"hair must be one of .*, not \['bob'\]"),
    (LOOK | {"hair": "Bob"}, "hair must be one of .*, not 'Bob'"),
    (LOOK | {"hair_color": None}, "hair_color must be one of .*, not None"),
    (LOOK | {"skin": 3}, "skin must be one of .*, not 3"),
    (LOOK | {"glasses": 1}, "glasses must be one of false, true, not 1"),
    (LOOK | {"glasses": "yes"}, "glasses must be one of false, true, not 'yes'"),
    (LOOK | {"facial_hair": False}, "facial_hair must be one of null, .*, not False"),
    (LOOK | {"mark": "tattoo"}, "mark must be one of null, .*, not 'tattoo'"),
    (LOOK | {"hair_colour": "black"}, "unknown key 'hair_colour', did you mean 'hair_color'"),
]


@pytest.mark.parametrize(("identity", "message"), IDENTITIES)
def test_an_identity_that_cannot_be_drawn_is_named_with_what_can(tmp_path, identity, message):
    with pytest.raises(RecordError, match=rf"line 2 \('p1', 'Bo Berg'\): .*identity: {message}"):
        run(tmp_path, "people", changed(PEOPLE, identity=identity))


SCENE = EVENTS[0]["scene"]
SCENES = [
    (None, "an object with sky, ground, objects is needed, found None"),
    ({}, 'sky is needed: one of "day", .*ground is needed: .*objects must be a list of 0 to 6, found None'),
    (SCENE | {"sky": "green"}, "sky must be one of \"day\", .*, not 'green'"),
    (SCENE | {"sky": ["day"]}, r"sky must be one of .*, not \['day'\]"),
    (SCENE | {"ground": "lava"}, "ground must be one of .*\"snow\".*, not 'lava'"),
    (SCENE | {"objects": ["pine", "dragon"]}, "objects must be one of .*\"pine\".*, not 'dragon'"),
    (SCENE | {"objects": "pine"}, "objects must be a list of 0 to 6, found 'pine'"),
    (SCENE | {"objects": ["pine"] * 7}, r"objects must be a list of 0 to 6, found \['pine'"),
    (SCENE | {"objects": [None]}, "objects must be one of .*, not None"),
    (SCENE | {"object": ["pine"]}, "unknown key 'object', did you mean 'objects'"),
]


@pytest.mark.parametrize(("scene", "message"), SCENES)
def test_a_scene_that_cannot_be_drawn_is_named_with_what_can(tmp_path, scene, message):
    with pytest.raises(RecordError, match=rf"line 2 \('e1', 'race'\): .*scene: {message}"):
        run(tmp_path, "events", changed(EVENTS, scene=scene))


def test_a_generator_that_draws_from_texts_looks_at_no_identity(tmp_path):
    rows = changed(PEOPLE, identity={"hair": "wig"})
    assert run(tmp_path, "people", rows, "flux")[1].identity == {"hair": "wig"}
    assert run(tmp_path, "people", rows, None)[1].identity == {"hair": "wig"}


def test_all_problems_are_said_in_one_message_and_nothing_is_written(tmp_path):
    """Of form, of fields, of the generator and between rows; each with its line."""
    rows = [
        PEOPLE[0] | {"age": 0, "identity": LOOK | {"hair": "wig"}},
        PEOPLE[1] | {"age": "41"},
        "{",
        PEOPLE[2] | {"name": "Cy"},
    ]
    with pytest.raises(RecordError) as e:
        run(tmp_path, "people", rows)
    found = str(e.value)
    for part in (
        "line 2 (p1): age: ",
        "line 3: Expecting ",
        "line 1 ('p0', 'Ada Lund'): age must be",
        "line 1 ('p0', 'Ada Lund'): identity: hair",
        "line 4 ('p2', 'Cy'): the name 'Cy' must have two words",
    ):
        assert found.count(part) == 1, part
    assert not (tmp_path / "out.jsonl").exists()


def test_a_message_stays_readable(tmp_path):
    rows = [
        PEOPLE[0] | {"person_id": f"p{n}", "name": f"Ada{'xyz'[n % 3] * n} Lund{n}", "age": 0}
        for n in range(60)
    ]
    with pytest.raises(RecordError, match=r"; and \d+ more\. Correct them there") as e:
        run(tmp_path, "people", rows)
    assert str(e.value).count("age must be") <= 20


# --- the manual ---


def tables() -> Iterator[str]:
    """The rows that docs/people_and_events.md has to hold."""
    yield "| `person_id`, `event_id` | 1 to 32 of `A` to `Z`, `a` to `z` and `0` to `9`; not `ref` and digits |"
    yield f"| `age` | a whole number from {AGES[0]} to {AGES[1]} |"
    for field, limit in (LONGEST["person"] | LONGEST["event"]).items():
        yield f"| `{field}` | a text of at most {limit:,} characters"
    yield from choices("identity", ATTRIBUTES)
    yield from choices("scene", CHOICES)
    yield f"at most {MOST_OBJECTS}"


def choices(field: str, allowed: Mapping[str, tuple]) -> Iterator[str]:
    for key, values in allowed.items():
        yield f"| `{field}.{key}` | {', '.join(f'`{json.dumps(one)}`' for one in values)} |"


def test_the_manual_says_what_the_fields_may_hold():
    page = PAGE.read_text(encoding="utf-8")
    assert [row for row in tables() if row not in page] == []
    named = set(re.findall(r"^\| `(\w+)(?:`|\.)", page, re.M)) | {"event_id"}
    assert named == set(Person.model_fields) | set(Event.model_fields)


def test_the_manual_s_examples_are_fit(tmp_path):
    for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        what = "people" if "person_id" in block else "events"
        assert run(tmp_path, what, block.strip().splitlines())
