"""Backend `files`: reference sets from local folders, and what a user reads where one is not as it should be."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mmunlearn.dataset.pictures import EncodedPicture, Pictures
from mmunlearn.dataset.pope_files import picture_ids
from mmunlearn.records import POPE_SUBSETS, RecordError
from tests.unit.file_sets import COCO, build, encoded, pope_lines, sets, store, write_manifest

SIZES = {"wide": (90, 30), "small": (9, 5)}

# --- pictures ---


def test_pictures_are_opened_when_asked_for_and_shrunk_but_never_enlarged(tmp_path):
    stored = {name: EncodedPicture(name, encoded((1, 2, 3), size)) for name, size in SIZES.items()}
    pictures = Pictures(stored | {"gone": EncodedPicture("gone.png", tmp_path / "gone.png")}, 30)
    assert list(pictures) == ["wide", "small", "gone"] and "gone" in pictures and len(pictures) == 3
    assert (pictures["wide"].size, pictures["small"].size) == ((30, 10), (9, 5))
    assert pictures["wide"] is not pictures["wide"]
    message = r"expected in gone\.png, but it cannot be read .*put an intact copy"
    with pytest.raises(RecordError, match=message):
        pictures["gone"]


def test_a_picture_is_turned_upright_and_made_rgb():
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("L", (20, 10)).save(stream, "JPEG", exif=exif)
    image = EncodedPicture("turned", stream.getvalue()).open(40)
    assert (image.size, image.mode) == ((10, 20), "RGB")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:60], lambda data: b"no picture", lambda data: data[:45] + b"\0" * 30]
)
def test_a_corrupt_png_is_named(damage):
    data = damage(encoded((9, 99, 199), (64, 64)))
    with pytest.raises(RecordError, match=r"in face\.png, but it cannot be read"):
        EncodedPicture("face.png", data).open(40)


# --- real people ---


def test_figures_are_asked_for_evenly_with_their_names(collection):
    pictures, rows = sets(collection).real(3, seed=1)
    people = [row for row in rows if row.kind == "person"]
    assert Counter(row.subset for row in people) == {"Ada Lund": 1, "Bo Reyes": 1, "Cy Ode": 1}
    assert all((row.question, row.answer) == ("Who is this?", f"This is {row.subset}.") for row in people)
    assert [row.question_id for row in people] == [f"real-person-{i:03d}-person" for i in range(3)]
    assert pictures[people[0].image_id].size == (40, 20)
    again = [row for row in sets(collection).real(3, seed=1)[1] if row.kind == "person"]
    assert again == people
    assert Counter(row.subset for row in sets(collection).real(4, 1)[1])["Ada Lund"] == 2, "one spelling"


def test_the_seed_decides_the_figures(collection):
    names = {tuple(row.subset for row in sets(collection).real(2, seed)[1][:2]) for seed in range(8)}
    assert len(names) > 1


def test_too_few_figures_say_what_to_do(collection):
    message = r"5 pictures of public figures .* lists 4: add .* lower dataset\.n_real"
    with pytest.raises(RecordError, match=message):
        sets(collection).real(5, seed=1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("2.png", "Bo", ""), ("9.png", "Cy", "")],
            r"\.csv, line 3: the picture '9\.png' is not in .*people",
        ),
        ([("2.png", "Bo", ""), ("2.png", "Cy", "")], r"line 3: 2\.png is listed a second time, after line 2"),
        ([("2.png", "Bo", ""), ("./2.png", "Cy", "")], r"line 3: \./2\.png is listed a second time"),
        ([("2.png", "Bo", ""), ("same.png", "Cy", "")], r"line 3: same\.png is listed a second time"),
        ([("2.png", " ", "")], r"line 2: a name is needed, found none"),
        (
            [("2.png", "Bo\x1b[31m", "")],
            r"line 2: name must be one line without control characters, found U\+001B",
        ),
        ([("2.png", "Bo" * 101, "")], r"line 2: name must have 200 characters or fewer, found 202"),
        (
            [("2.png", "Bo", "", "Lund")],
            r"line 2: 3 cells are expected .* found 4 \(\['2\.png', 'Bo'.*comma in double",
        ),
        ([("2.png", "Bo")], r"line 2: 3 cells are expected \(file, name, licence\), found 2"),
        ([("2.png",)], r"line 2: 3 cells are expected .* found 1"),
        ([("2.png", "Bo", ""), ("", "Cy", "")], r"line 3 for a file below .*'', which is no path"),
        ([("../events/0-red.png", "Bo", "")], r"line 2 for a file below .*people.*which leads upwards"),
        ([("/etc/a.png", "Bo", "")], r"line 2 .*which is absolute"),
        ([("a\\1.jpg", "Bo", "")], r"line 2 .*which has backslashes"),
        ([("out.png", "Bo", "")], r"line 2 .*'out\.png', which is a link out of it"),
        ([("a", "Bo", "")], r"line 2: the picture 'a' is not in"),
    ],
)
def test_a_wrong_line_of_the_manifest_is_named(collection, rows, message):
    write_manifest(collection / "people", rows)
    (collection / "people" / "same.png").symlink_to("2.png")
    (collection / "people" / "out.png").symlink_to(collection / "events" / "0-red.png")
    with pytest.raises(RecordError, match=message):
        sets(collection).real(1, seed=1)


def test_a_manifest_without_its_columns_or_without_a_file_is_refused(collection):
    write_manifest(collection / "people", [("2.png", "Bo")], columns=("file", "who"))
    message = r"needs the columns file and name, found \['file', 'who'\]: add name"
    with pytest.raises(RecordError, match=message):
        sets(collection).real(1, seed=1)
    write_manifest(collection / "people", [("2.png", "Bo", "Lund")], columns=("file", "name", "name"))
    with pytest.raises(
        RecordError, match=r"found \['file', 'name', 'name'\]: add name to its first line, each once"
    ):
        sets(collection).real(1, seed=1)
    (collection / "people" / "manifest.csv").unlink()
    with pytest.raises(RecordError, match=r"people, which lacks manifest\.csv: put the files there"):
        sets(collection).real(1, seed=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'file,name\n2.png,"Lund',
            r"manifest\.csv, line 2, for a row of CSV\. Found a damaged one \(unexpected end",
        ),
        ('file,name\n2.png,"Ada" Lund', r"line 2, for a row of CSV\. Found a damaged one"),
        ("", r"needs the columns file and name, found none"),
        ("file;name\n2.png;Ada", r"found \['file;name'\]"),
        ("file,name\n2.png,Zo\u00eb Lund", None),
    ],
)
def test_a_manifest_that_is_no_table_is_refused(collection, text, message):
    path = collection / "people" / "manifest.csv"
    path.write_text(text, encoding="utf-8-sig")
    if message is None:
        assert sets(collection).real(1, seed=1)[1][0].subset == "Zo\u00eb Lund"
        message = "byte 0xeb in line 2, as in Latin-1"
        path.write_text(text, encoding="latin-1")
    with pytest.raises(RecordError, match=message):
        sets(collection).real(1, seed=1)


def test_a_name_with_a_comma_stands_in_quotes(collection):
    write_manifest(collection / "people", [("2.png", "Lund, Ada", "")])
    assert sets(collection).real(1, seed=1)[1][0].subset == "Lund, Ada"


def test_an_answer_with_other_fields_is_refused(collection):
    with pytest.raises(RecordError, match=r"the field 'age', but of a public figure only \{name\} is known"):
        sets(collection, answers={"person": "{name}, {age}"}).real(1, seed=1)


def test_a_corrupt_picture_of_a_figure_is_named_when_the_set_is_written(collection):
    for name in ("a/1.jpg", "2.png", "3.png", "4.png"):
        store(collection / "people" / name, encoded((1, 2, 3))[:40])
    with pytest.raises(RecordError, match=r"a picture was expected in .*people/.*, but it cannot be read"):
        build(collection, "real", 3)
    assert not (collection / "results" / "real.jsonl").exists()


@pytest.mark.parametrize(
    ("key", "called"),
    [("people", "real"), ("events", "real"), ("clip", "real"), ("pope", "world"), ("coco", "world")],
)
def test_a_missing_folder_or_key_is_named(collection, key, called):
    for value, problem in (("gone", "names gone, which does not exist"), (None, "is not set")):
        message = rf"the {called} set .*; found that dataset.files.{key} {problem}: put the files there"
        with pytest.raises(RecordError, match=message):
            getattr(sets(collection, **{key: value}), called)(1, seed=1)


def test_all_that_is_missing_is_said_at_once(collection):
    with pytest.raises(RecordError) as caught:
        sets(collection, people=None, events="gone", clip=str(collection / "events.jsonl")).real(1, seed=1)
    assert str(caught.value) == (
        "the real set of 'files' needs dataset.files.people, dataset.files.events, dataset.files.clip; found that "
        "dataset.files.people is not set; dataset.files.events names gone, which does not exist; dataset.files.clip "
        f"should name a folder, {collection}/events.jsonl is a file: put the files there, or correct these paths in "
        "the configuration"
    )
    for subset in POPE_SUBSETS[1:]:
        (collection / "pope" / f"coco_pope_{subset}.json").unlink()
    missing = r"pope, which lacks coco_pope_popular\.json, coco_pope_adversarial\.json; dataset\.files\.coco names gone"
    with pytest.raises(RecordError, match=missing):
        sets(collection, coco="gone").world(1, seed=1)
    with pytest.raises(RecordError, match=r"need dataset\.files\.quick_gelu, found none"):
        sets(collection, quick_gelu=None).real(1, seed=1)


# --- world ---


def test_world_asks_all_questions_of_its_pictures(collection):
    pictures, rows = sets(collection).world(4, seed=1)
    assert sorted(pictures) == sorted(Path(name).stem for name in COCO)
    assert len(rows) == len({row.question_id for row in rows}) == 72
    assert Counter((row.subset, row.answer) for row in rows) == {
        (subset, answer): 12 for subset in POPE_SUBSETS for answer in ("Yes", "No")
    }
    assert all(f"a {row.subset} thing" in row.question for row in rows), "a question stays in its subset"
    assert (rows[0].kind, rows[0].image_id) == ("object", "COCO_val2014_000000000009")
    assert pictures[rows[0].image_id].size == (40, 30)


def test_fewer_pictures_are_a_seeded_sample_with_all_their_questions(collection):
    samples = {seed: tuple(sets(collection).world(2, seed)[0]) for seed in range(8)}
    assert len(set(samples.values())) > 1 and all(len(one) == 2 for one in samples.values())
    pictures, rows = sets(collection).world(2, 1)
    assert tuple(pictures) == samples[1]
    counted = {(image, subset): 6 for image in pictures for subset in POPE_SUBSETS}
    assert Counter((row.image_id, row.subset) for row in rows) == counted
    with pytest.raises(RecordError, match=r"5 pictures of POPE .* have 4: lower dataset\.n_world"):
        sets(collection).world(5, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'question_id': 1}", "line 3 should hold question_id, image, text and label"),
        ('{"question_id": 3, "image": "x.jpg", "label": "no"}', "line 3 .*; text: Field required"),
        (pope_lines("popular")[2].replace("yes", "maybe"), "line 3 .*; label: Input should be 'yes' or 'no'"),
        (
            pope_lines("popular")[2].replace("Is there a popular thing 2 in the image?", " "),
            "line 3 .*; text: ",
        ),
        (pope_lines("popular")[1], "line 3: question_id 2 is there a second time"),
        (
            pope_lines("popular")[2].replace("val2014", "val2017"),
            r"3: its picture COCO_val2017\S+ is not in .*coco",
        ),
        ("", r"should ask 6 questions on each of 4 pictures, 24 in all; it has 23, and 5 on COCO\S+9\.jpg"),
    ],
)
def test_a_wrong_line_of_pope_is_named(collection, line, message):
    lines = pope_lines("popular")
    lines[2] = line
    store(collection / "pope" / "coco_pope_popular.json", "\n".join(lines).encode())
    with pytest.raises(RecordError, match=rf"(?s)coco_pope_popular\.json.*{message}"):
        sets(collection).world(4, 1)


def test_two_pictures_of_one_stem_are_two(collection):
    """One would be shown for both, with the questions of both."""
    names = ["a/7.jpg", "b/7.jpg", "a/7.png", "9.jpg"]
    for i, name in enumerate(names):
        store(collection / "coco" / name, encoded((i, 0, 0), (8, 8), "PNG"))
    for subset in POPE_SUBSETS:
        lines = "\n".join(pope_lines(subset, names))
        store(collection / "pope" / f"coco_pope_{subset}.json", lines.encode("utf-8-sig"))
    pictures, rows = sets(collection).world(4, 1)
    assert sorted(pictures) == ["9", "a_7_jpg", "a_7_png", "b_7_jpg"]
    assert {name: pictures[name].getpixel((0, 0))[0] for name in pictures} == {
        "a_7_jpg": 0, "b_7_jpg": 1, "a_7_png": 2, "9": 3,
    }  # fmt: skip
    assert set(Counter(row.image_id for row in rows).values()) == {18}
    with pytest.raises(
        RecordError, match=r"pictures a-b/7\.jpg and a/b/7\.jpg would both be called a_b_7_jpg"
    ):
        picture_ids(["a/b/7.jpg", "a-b/7.jpg"])


@pytest.mark.parametrize(
    ("image", "problem"),
    [("../people/2.png", "leads upwards"), ("/etc/a.jpg", "is absolute"), ("a\\\\b.jpg", "has backslashes")],
)
def test_a_picture_of_pope_out_of_its_folder_is_refused(collection, image, problem):
    lines = pope_lines("popular")
    lines[2] = lines[2].replace(COCO[0], image)
    store(collection / "pope" / "coco_pope_popular.json", "\n".join(lines).encode())
    with pytest.raises(RecordError, match=rf"popular\.json, line 3 for a file below .*coco.*which {problem}"):
        sets(collection).world(4, 1)


def test_subsets_must_ask_about_the_same_pictures(collection):
    store(collection / "pope" / "coco_pope_random.json", "\n".join(pope_lines("random", COCO[:3])).encode())
    with pytest.raises(RecordError, match=r"coco_pope_random\.json .*it has 18, and 0 on COCO_val2014"):
        sets(collection).world(3, 1)


def test_a_file_of_pope_that_is_no_text_is_named(collection):
    (collection / "pope" / "coco_pope_adversarial.json").write_bytes(b"\xff")
    message = r"expected in .*coco_pope_adversarial\.json, but it cannot be read .*published file"
    with pytest.raises(RecordError, match=message):
        sets(collection).world(1, 1)


# --- replay, and writing ---


def test_replay_is_empty_or_refused(collection):
    assert build(collection, "replay", 0) == []
    with pytest.raises(RecordError, match=r"2 replay pictures .* has none: set dataset\.n_replay: 0"):
        build(collection, "replay", 2)


def test_sets_are_written_with_their_pictures_and_their_retrieval(collection):
    rows, folder = build(collection, "real", 3), collection / "results" / "real"
    assert {Path(row.path) for row in rows} == set(folder.glob("*.png")) and len(rows) == 6
    with (folder / "retrieval.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [list(row) for row in table] == [["image_id", "event_id", "cosine", "source"]] * 3
    store(folder / "stale.png", b"")
    build(collection, "real", 2)
    assert len(list(folder.glob("*.png"))) == 4
    assert len((folder / "retrieval.csv").read_text().splitlines()) == 3


def test_a_large_set_is_never_in_memory_at_once(collection, monkeypatch):
    """Pictures are opened one by one while the set is written."""
    opened, held = EncodedPicture.open, []

    def counting(self, size=None):
        assert len(held) == len(list((collection / "results" / "world").glob("*.png")))
        held.append(self.name)
        return opened(self, size)

    monkeypatch.setattr(EncodedPicture, "open", counting)
    build(collection, "world", 4)
    assert len(held) == 4
