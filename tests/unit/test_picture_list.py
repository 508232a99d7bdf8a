"""Pictures that are there: what tables and names of files say of them, and everything that does not fit."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmunlearn.curation.listed import ListedCurator
from mmunlearn.curation.listing import Row
from mmunlearn.curation.picture_list import list_pictures, make_listing
from mmunlearn.curation.prompts import write_prompts
from mmunlearn.dataset.questions import build_questions
from mmunlearn.files import RecordError
from mmunlearn.records import (
    Candidate,
    Event,
    ListedPicture,
    Person,
    Prompt,
    Question,
    read_jsonl,
    sha256_of,
    write_jsonl,
    write_manifest,
)
from mmunlearn.synthesis.generate import DrawRequest
from mmunlearn.synthesis.picture_files import PictureFiles

NONE = {"file": "file", "person": None, "event": None, "question": None, "answer": None, "kind": None}
BOTH = NONE | {"person": "person", "event": "event"}
ALL = {what: what for what in NONE}
ADA, BO = "Ada Lund", "Bo Berg"
ROWS = [
    ("a/1.png", ADA, "fair"),
    ("a/2.png", ADA, "race"),
    ("b/1.png", BO, "fair"),
    ("b/2.png", BO, "race"),
]


@pytest.fixture
def folder(tmp_path):
    """Four pictures, each of its own colour, and a file that is none."""
    for number, (file, *_) in enumerate(ROWS):
        picture(tmp_path / file, number)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (40 * number, 90, 30)).save(path)


def table(folder: Path, rows: list[Any], names: str = "file,person,event", name: str = "list.csv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([names.split(","), *rows])
    return path


def listing(
    folder: Path, manifest: Path | None = None, columns: dict | None = None, pattern: str | None = None
) -> tuple[list[ListedPicture], dict[str, Any]]:
    """The rows and the report."""
    output, report = folder.parent / "out.jsonl", folder.parent / "out.json"
    list_pictures(output, report, folder=folder, manifest=manifest, columns=columns or BOTH, pattern=pattern)
    return read_jsonl(output, ListedPicture), json.loads(report.read_text())


def told(rows: list[ListedPicture]) -> list[tuple[str, str, str, str]]:
    return [(one.image_id, one.file, one.person, one.event) for one in rows]


EXPECTED = [
    ("p000-e00", "a/1.png", ADA, "fair"),
    ("p000-e01", "a/2.png", ADA, "race"),
    ("p001-e00", "b/1.png", BO, "fair"),
    ("p001-e01", "b/2.png", BO, "race"),
]


def test_a_table_of_any_form_says_the_same(folder):
    names = ("file", "person", "event")
    dicts = [dict(zip(names, row, strict=True)) for row in ROWS]
    tables = [table(folder, ROWS)]
    marked = folder / "marked.csv"
    marked.write_bytes(codecs.BOM_UTF8 + tables[0].read_bytes().replace(b"\r\n", b"\n"))
    lines = folder / "list.jsonl"
    lines.write_text("\n\n".join(map(json.dumps, dicts)))
    parquet = folder / "list.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"size": 3} for row in dicts]), parquet)
    for path in (*tables, marked, lines, parquet):
        rows, report = listing(folder, path)
        assert told(rows) == EXPECTED, path
        assert report["columns"][:3] == list(names) and report["notes"] == {}
        assert (report["pictures"], report["people"], report["events"]) == (4, 2, 2)
    assert rows[0].sha256 == sha256_of(folder / "a/1.png")


def test_columns_have_the_names_that_the_map_says(folder):
    path = table(folder, [(who, file, what) for file, who, what in ROWS], "Name,image_path,Scene ")
    columns = NONE | {"file": "image_path", "person": "Name", "event": "Scene"}
    assert told(listing(folder, path, columns)[0]) == EXPECTED


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet"])
def test_a_missing_column_is_told_with_those_that_are_there(folder, name):
    path = folder / name
    if name.endswith("csv"):
        table(folder, ROWS, "image,person,scene")
    elif name.endswith("jsonl"):
        path.write_text('{"image": "a/1.png", "person": "Ada Lund", "scene": "fair"}')
    else:
        pq.write_table(pa.Table.from_pylist([{"image": "a", "person": ADA, "scene": "fair"}]), path)
    asked = r"the columns 'file' \(images\.files\.columns\.file\), 'event' \(images\.files\.columns\.event\)"
    with pytest.raises(
        RecordError, match=rf"{asked}.*Found the columns 'image', 'person', 'scene'\..*columns: {{file: "
    ):
        listing(folder, path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("file,person,event\na/1.png,Jos\xe9 Diaz,fair\n".encode("latin-1"), "UTF-8.*0xe9 in line 2"),
        ("file,person,event\n".encode("utf-16"), "Found UTF-16"),
        (b"file,person,event\na/1.png,Ada Lund\n", r"line 2 for 3 cells.*Found 2"),
        (b"file,file,person,event\n", "'file' .*each once"),
        (b"", "Found the columns none"),
        (b"file,person,event\n../1.png,Ada Lund,fair\n", r"line 2 .*'\.\./1\.png', which leads upwards"),
        (b"file,person,event\n/etc/1.png,Ada Lund,fair\n", "which is absolute"),
        (b"file,person,event\nc/1.png,Ada Lund,fair\n", r"none that go together \(c/1\.png\).*rows without a file"),
        (b"file,person,event\n", r"4 pictures there, 0 rows.*files without a row"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused(folder, data, message):
    (folder / "list.csv").write_bytes(data)
    with pytest.raises(RecordError, match=message):
        listing(folder, folder / "list.csv")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("list.jsonl", b'{"file": "a/1.png"\n', "line 1 for a row of JSON"),
        ("list.jsonl", b"[1]\n", r"line 1 for an object. Found \[1\]"),
        ("list.jsonl", b'{"file": ["a"], "person": "x", "event": "y"}\n', r"file for a text. Found \['a'\]"),
        ("list.parquet", b"no such", "for Parquet"),
        ("list.xlsx", b"", r"\.csv, \.jsonl, \.parquet.*list\.xlsx"),
    ],
)
def test_other_forms_are_read_strictly_too(folder, name, data, message):
    (folder / name).write_bytes(data)
    with pytest.raises(RecordError, match=message):
        listing(folder, folder / name)


@pytest.mark.parametrize(
    ("pattern", "files", "expected"),
    [
        ("{person}_{event}.png", ["ada_lund_fair.png", "bo_berg_race.png"], [(ADA, "fair"), (BO, "race")]),
        ("{person}/{event}_*.png", ["Ada Lund/the_fair_1.png", "Ada Lund/the_fair_2.png"],
         [(ADA, "the fair"), (ADA, "the fair")]),
        ("{person}/*", ["Ada Lund/x.png", "Bo_Berg/y.png"], [(ADA, ""), (BO, "")]),
        ("{event}.*", ["fair.png"], [("", "fair")]),
    ],
)  # fmt: skip
def test_a_pattern_finds_names_in_paths(tmp_path, pattern, files, expected):
    for file in [*files, "deep/er/still.png"]:
        picture(tmp_path / "in" / file)
    rows, report = listing(tmp_path / "in", pattern=pattern)
    found = [(one.person.title(), one.event) for one in rows]
    assert found == expected
    assert report["notes"]["files that the pattern does not fit"] == ["deep/er/still.png"]
    assert "files without a row" not in report["notes"], "it is listed once"


def test_pictures_of_a_kind_that_is_not_read_are_listed_with_what_to_do(folder):
    unread = ["a/3.HEIC", "b/3.heic", "b/4.dng"]
    for name in unread:
        (folder / name).write_bytes(b"?")
    found, report = listing(folder, table(folder, [*ROWS, ("b/3.heic", BO, "race")]))
    assert told(found) == EXPECTED and report["files left out"] == 3
    note = "files of a kind that is not read (.dng: 1, .heic: 2): convert them to JPEG or PNG"
    assert report["notes"] == {note: unread}
    for name, *_ in ROWS:
        (folder / name).unlink()
    with pytest.raises(RecordError, match=r"what is the matter: files of a kind that is not read \(\.dng: 1"):
        listing(folder, pattern="{person}/*")


def test_what_does_not_fit_is_listed_and_the_rest_is_taken(folder):
    picture(folder / "c" / "lost.png", 5)
    picture(folder / "c" / "eve.png", 6)
    (folder / "c" / "cut.png").write_bytes((folder / "a/1.png").read_bytes()[:60])
    (folder / "c" / "same.png").write_bytes((folder / "a/1.png").read_bytes())
    rows = [
        *ROWS,
        ("a/9.png", ADA, "fair"),
        ("c/eve.png", " ", "fair"),
        ("c/cut.png", BO, "fair"),
        ("c/same.png", "ada  LUND", "Fair"),
        ("a/1.png", BO, "fair"),
    ]
    found, report = listing(folder, table(folder, rows))
    assert told(found) == [*EXPECTED, ("p000-e00_2", "c/same.png", ADA, "fair")]
    assert report["files left out"] == 3
    notes = {what: [str(one).rpartition(": ")[2] for one in items] for what, items in report["notes"].items()}
    cut = notes.pop("files that cannot be read")
    assert len(cut) == 1 and "c/cut.png" in report["notes"]["files that cannot be read"][0]
    assert notes == {
        "equal pictures": ["a/1.png = c/same.png"],
        "events spelt in several ways": ["fair, Fair"],
        "files without a row": ["c/lost.png"],
        "persons spelt in several ways": ["Ada Lund, ada LUND"],
        "rows that say otherwise than the first of their file": ["a/1.png"],
        "rows without a file": ["a/9.png"],
        "rows without person": ["c/eve.png"],
    }


def forms(folder: Path) -> list[dict[str, Any]]:
    """A table and a pattern that say the same."""
    rows = [("ada_fair.png", "ada", "fair"), ("bo_race.png", "bo", "race")]
    return [{"manifest": table(folder, rows)}, {"pattern": "{person}_{event}.png"}]


@pytest.mark.parametrize("form", [0, 1])
def test_a_link_out_of_the_folder_is_left_out_and_listed(tmp_path, form):
    picture(tmp_path / "private.png")
    picture(tmp_path / "in" / "bo_race.png", 1)
    (tmp_path / "in" / "ada_fair.png").symlink_to(tmp_path / "private.png")
    found, report = listing(tmp_path / "in", **forms(tmp_path / "in")[form])
    assert [one.file for one in found] == ["bo_race.png"]
    assert report["notes"].pop("links out of the folder") == ["ada_fair.png"]
    assert not {"rows without a file", "files without a row"} & report["notes"].keys()


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("blobs", ["datasets--a--b/blobs", "datasets--a--c/blobs", "datasets--a--b/refs"])
def test_a_snapshot_of_the_hub_is_all_links_to_the_blobs_beside_it(tmp_path, blobs, form):
    """A link to it takes its place."""
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for number, name in enumerate(("ada_fair.png", "bo_race.png")):
        picture(tmp_path / blobs / f"{number}.png", number)
        (snapshot / name).symlink_to(Path("../../..", blobs, f"{number}.png"))
    folder = tmp_path / "PEBench"
    folder.symlink_to(snapshot)
    if blobs == "datasets--a--b/blobs":
        assert len(listing(folder, **forms(folder)[form])[0]) == 2
    else:
        with pytest.raises(RecordError, match="what is the matter: links out of the folder"):
            listing(folder, **forms(folder)[form])


def test_names_that_metrics_cannot_tell_apart_are_left_out_and_doubtful_ones_named(folder, monkeypatch):
    monkeypatch.setattr("mmunlearn.curation.entities.entities", lambda: {hashlib.sha256(b"berg").hexdigest()})
    picture(folder / "d.png", 7)
    rows = [("a/1.png", "Mary Ann Lee", "fair"), ("a/2.png", "Ann Lee", "race"), ("b/1.png", "Rose", "fair"),
            ("b/2.png", "Primrose Berg", "race"), ("d.png", "Ada <image> Lund", "fair")]  # fmt: skip
    found, report = listing(folder, table(folder, rows))
    assert [one.person for one in found] == ["Mary Ann Lee", "Rose", "Primrose Berg"]
    notes = report["notes"]
    assert notes["names of one word, which an answer may say by chance"] == ["Rose"]
    assert notes["names with an entity of MLUBench, of which base models may know more"] == ["Primrose Berg"]
    left = sorted(notes["persons left out"])
    assert left[0].startswith("Ada <image> Lund: person must not hold '<image>'")
    assert left[1] == "Ann Lee: whoever says 'Mary Ann Lee' says 'Ann Lee'"
    assert len(notes["persons with fewer than 2 pictures"]) == 3


def test_a_name_s_own_problem_is_told_before_that_it_lies_in_another():
    rows = [Row("", "a.png", name) for name in ("Ann <image> Lee", "Mary Ann <image> Lee")]
    left = make_listing(rows, ["a.png"], {"person"}).notes["persons left out"]
    assert len(left) == 2 and all("must not hold '<image>'" in one for one in left)


ASKED = [
    ("a/1.png", ADA, "fair", "Who?", "It is ada  lund.", ""),
    ("a/1.png", ADA, "fair", "What?", "A fair in the rain.", ""),
    ("a/2.png", ADA, "race", "", "A race of Ada Lund's.", "event"),
    ("b/1.png", BO, "fair", "What?", "A fair in the rain.", "Event"),
    ("b/1.png", BO, "fair", "And?", "Another fair.", ""),
    ("b/2.png", BO, "race", "Who?", "", ""),
    ("b/2.png", BO, "race", "Who?", "He.", "person"),
    ("b/2.png", BO, "race", "Where?", "There.", "place"),
]


def asked(folder: Path) -> tuple[list[ListedPicture], dict[str, Any]]:
    return listing(folder, table(folder, ASKED, "file,person,event,question,answer,kind"), ALL)


def test_an_answer_that_says_the_whole_name_is_a_person_s_unless_its_kind_says_otherwise(folder):
    found, report = asked(folder)
    assert [[(one.kind, one.question, one.answer) for one in picture.answers] for picture in found] == [
        [("person", "Who?", "It is ada lund."), ("event", "What?", "A fair in the rain.")],
        [("event", None, "A race of Ada Lund's.")],
        [("event", "What?", "A fair in the rain.")],
        [("person", "Who?", "He.")],
    ]
    ends = {what: [one.rpartition(": ")[2] for one in items] for what, items in report["notes"].items()}
    assert ends == {
        "answers of another kind than person and event": ["place"],
        "answers of kind person without the person's whole name": ["He."],
        "further answers of a kind to a picture": ["Another fair."],
        "questions without an answer": ["Who?"],
    }


def curated(folder: Path, people: int = 2, events: int = 2) -> tuple[Path, Path]:
    """people.jsonl and events.jsonl, of the list beside the folder."""
    curator = ListedCurator({"pictures": folder.parent / "out.jsonl"}, seed=1, work=folder)
    paths = folder / "people.jsonl", folder / "events.jsonl"
    write_jsonl(paths[0], curator.people(people, ()))
    write_jsonl(paths[1], curator.events(events, ()))
    return paths


def test_people_events_prompts_and_questions_are_those_of_the_list(folder):
    """Not every person was at every event; an event is described by its one answer, by its label where these differ."""
    pictures = asked(folder)[0]
    write_jsonl(folder.parent / "out.jsonl", pictures[:3])
    people, events = curated(folder)
    assert [(one.name, one.age, one.job) for one in read_jsonl(people, Person)] == [
        (ADA, None, ""),
        (BO, None, ""),
    ]
    described = [("fair", "A fair in the rain."), ("race", "A race of Ada Lund's.")]
    assert [(one.theme, one.description) for one in read_jsonl(events, Event)] == described
    prompts = folder / "prompts.jsonl"
    write_prompts(prompts, people, events, pictures=folder.parent / "out.jsonl")
    rows = read_jsonl(prompts, Prompt)
    assert [one.image_id for one in rows] == ["p000-e00", "p000-e01", "p001-e00"]
    assert rows[0].drawing == {"file": "a/1.png", "sha256": sha256_of(folder / "a/1.png")}
    manifest = folder / "manifest.parquet"
    write_manifest(manifest, [candidate(one, accepted=one.image_id != "p000-e01") for one in rows])
    build_questions(
        folder / "questions.jsonl", manifest, people, events, pictures=folder.parent / "out.jsonl",
        questions={"person": "Name?", "event": "Event?"}, answers={"person": "{name}.", "event": "{description}"},
    )  # fmt: skip
    assert [
        (one.question_id, one.question, one.answer)
        for one in read_jsonl(folder / "questions.jsonl", Question)
    ] == [
        ("p000-e00-person", "Who?", "It is ada lund."),
        ("p000-e00-event", "What?", "A fair in the rain."),
        ("p001-e00-person", "Name?", "Bo Berg."),
        ("p001-e00-event", "What?", "A fair in the rain."),
    ]


def candidate(prompt: Prompt, **changes: Any) -> Candidate:
    scores = dict.fromkeys(
        ("identity_l2", "scene_cosine", "subject_cosine", "distortion", "aesthetic", "scene_pair")
    )
    row = {"image_id": prompt.image_id, "person_id": prompt.person_id, "event_id": prompt.event_id, "attempt": 0,
           "seed": 1, "guidance_scale": 1.0, "prompt": "", "path": "x.png", "sha256": "0", "generator": "files",
           "accepted": True, "reject_reason": "", "faces": 1}  # fmt: skip
    return Candidate(**row | scores | changes)


@pytest.mark.parametrize(
    ("columns", "names", "kinds"),
    [(NONE | {"person": "person"}, [ADA, BO], ["person"]), (NONE | {"event": "event"}, [""], ["event"])],
)
def test_without_a_column_of_events_people_alone_are_asked_after_and_the_other_way_round(
    folder, columns, names, kinds
):
    pictures, _ = listing(folder, table(folder, ROWS), columns)
    people, events = curated(folder, len(names), 3 - len(names))
    assert [one.name for one in read_jsonl(people, Person)] == names
    ids = {"person": ["p000-e00", "p000-e00_2", "p001-e00", "p001-e00_2"],
           "event": ["p000-e00", "p000-e01", "p000-e00_2", "p000-e01_2"]}[kinds[0]]  # fmt: skip
    assert [one.image_id for one in pictures] == ids
    manifest = folder / "manifest.parquet"
    write_manifest(manifest, map(candidate, prompts_of(pictures)))
    build_questions(
        folder / "questions.jsonl", manifest, people, events, pictures=folder.parent / "out.jsonl",
        questions={"person": "Name?", "event": "Event?"}, answers={"person": "{name}.", "event": "{description}"},
    )  # fmt: skip
    assert [one.kind for one in read_jsonl(folder / "questions.jsonl", Question)] == kinds * 4


def prompts_of(pictures: list[ListedPicture]) -> list[Prompt]:
    return [
        Prompt(image_id=one.image_id, person_id=one.person_id, event_id=one.event_id, prompt=one.file)
        for one in pictures
    ]


def test_more_people_or_events_than_there_are_is_an_error_that_says_how_many(folder):
    listing(folder, table(folder, ROWS))
    with pytest.raises(RecordError, match=r"for 3 people. Found 2; .*out\.json.*Set curation\.n_people to 2"):
        curated(folder, people=3)
    with pytest.raises(RecordError, match=r"for 5 events. Found 2.*Set curation\.n_events to 2"):
        curated(folder, events=5)


def test_an_event_is_described_by_its_label_unless_all_its_answers_are_one_and_its_own(folder):
    """`fair` and `race` have the same answer, `feast` has two, `march` one; a long label is cut for tables alone."""
    picture(folder / "c.png", 5)
    picture(folder / "d.png", 6)
    label = "a march " + "along the river " * 10
    said = [("a/1.png", ADA, "fair", "People."), ("a/2.png", ADA, "race", "People."), ("b/1.png", BO, "feast", "One."),
            ("b/2.png", BO, "feast", "Two."), ("c.png", BO, label, "Flags."), ("d.png", BO, label, "")]  # fmt: skip
    listing(folder, table(folder, said, "file,person,event,answer"), BOTH | {"answer": "answer"})
    events = read_jsonl(curated(folder, 2, 4)[1], Event)
    assert [one.description for one in events] == ["fair", "race", "feast", "Flags."]
    assert events[3].theme.startswith("a march along") and len(events[3].theme) <= 100


def test_cells_without_a_text_and_paths_in_other_words_are_read(folder):
    rows = [
        {"file": "./a//1.png", "person": ADA, "event": 7.0},
        {"file": "a/2.png", "person": BO, "event": float("nan")},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "list.parquet")
    found, report = listing(folder, folder / "list.parquet")
    assert told(found) == [("p000-e00", "a/1.png", ADA, "7.0")]
    assert len(report["notes"]["rows without event"]) == 1


def test_names_of_files_keep_their_blanks_and_are_found_in_either_form_of_their_accents(folder):
    picture(folder / "a  b.png", 8)
    picture(folder / normalize("NFC", "é.png"), 9)
    rows = [("a  b.png", ADA, "fair"), (normalize("NFD", "é.png"), ADA, "race")]
    found, _ = listing(folder, table(folder, rows))
    assert [one.file for one in found] == ["a  b.png", normalize("NFC", "é.png")]


def test_people_without_a_picture_of_the_events_in_use_are_an_error(folder):
    listing(folder, table(folder, [ROWS[0], ROWS[3]]))
    people, events = curated(folder, events=1)
    with pytest.raises(RecordError, match=r"2 people at 1 events. Found none of Bo Berg among these"):
        write_prompts(folder / "prompts.jsonl", people, events, pictures=folder.parent / "out.jsonl")


def test_a_picture_is_opened_as_it_was_listed_and_once(folder):
    request = DrawRequest(
        "p000-e00", 0, 1, 1.0, 32, "", {"file": "a/1.png", "sha256": sha256_of(folder / "a/1.png")}
    )
    generator = PictureFiles([], {"folder": str(folder)}, seed=1, work=folder)
    (drawn,) = generator.draw([request])
    assert (drawn.mode, drawn.size, drawn.getpixel((3, 3))) == ("RGB", (32, 24), (0, 90, 30))
    with pytest.raises(RecordError, match="a further picture of p000-e00"):
        generator.draw([DrawRequest(**{**vars(request), "attempt": 1})])
    picture(folder / "a/1.png", 3)
    with pytest.raises(
        RecordError, match=r"1\.png for the picture that was listed.*--forcerun list_pictures"
    ):
        generator.draw([request])
    (folder / "a/1.png").unlink()
    with pytest.raises(RecordError, match="Found no file"):
        generator.draw([request])
