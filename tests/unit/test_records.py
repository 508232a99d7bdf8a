"""Rows on disk: strict reading, atomic and reproducible writing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.files import inside, read_text
from mmunlearn.records import (
    Answer,
    Person,
    RecordError,
    Scores,
    atomic_path,
    digest_of,
    read_json,
    read_jsonl,
    read_manifest,
    write_jsonl,
    write_manifest,
)
from tests.unit.rows import candidate

ANSWER = Answer(question_id="q", image_id="i", question="Who?", reference="Ada", answer="Zoë 王")


def test_jsonl_round_trip(tmp_path):
    rows = [ANSWER, ANSWER.model_copy(update={"question_id": "q2"})]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert read_jsonl(tmp_path / "a.jsonl", Answer) == rows


@given(st.text(), st.text())
def test_any_text_survives_the_round_trip(answer, reference):
    """Line separators of Unicode, too: a broken model may say them."""
    row = ANSWER.model_copy(update={"question_id": "q2", "answer": answer, "reference": reference})
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "a.jsonl", [row, ANSWER])
        assert read_jsonl(Path(folder) / "a.jsonl", Answer) == [row, ANSWER]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question_id": "q"', "line 2"),
        ('{"question_id": "q"}', r"line 2 \(q\): image_id"),
        (ANSWER.model_dump_json()[:-1] + ', "extra": 1}', "extra"),
        (ANSWER.model_dump_json()[:-1] + ', "answer": "Eve"}', "line 2 .*the field 'answer' is there twice"),
        (ANSWER.model_dump_json(), "line 2: question_id 'q' a second time, after line 1"),
        ("[" * 100_000, "line 2: nested too deeply"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(ANSWER.model_dump_json() + "\n" + line + "\n")
    with pytest.raises(RecordError, match=message):
        read_jsonl(path, Answer)


def test_all_broken_lines_are_named_at_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"1\n\n{ANSWER.model_dump_json()}\nnull\n")
    with pytest.raises(RecordError, match=r"a\.jsonl, line 1: .*; line 4: ") as e:
        read_jsonl(path, Answer)
    assert "line 3" not in str(e.value) and "elete" not in str(e.value)


ADA = {"person_id": "p0", "name": "Ada Lund", "age": 42, "gender": "woman", "job": "pilot"}
ADA |= {"birthplace": "Oslo", "appearance": "Tall."}


@pytest.mark.parametrize("age", ["42", 42.0, True, [42], 1e400, "NaN"])
def test_a_value_of_another_type_is_not_made_to_fit(tmp_path, age):
    (tmp_path / "a.jsonl").write_text(json.dumps(ADA | {"age": age}))
    with pytest.raises(RecordError, match=r"line 1 \(p0\): age: .*, found "):
        read_jsonl(tmp_path / "a.jsonl", Person)


@pytest.mark.parametrize(
    "metric",
    [
        {"value": 100.01, "n": 1}, {"value": -0.01, "n": 1}, {"value": float("nan"), "n": 1},
        {"value": float("inf"), "n": 1}, {"value": True, "n": 1}, {"value": "50", "n": 1},
        {"value": 50, "n": -1}, {"value": 50, "n": 1.5}, {"value": 50, "n": 1, "low": -1},
        {"value": 50, "n": 1, "high": 101}, {"value": 50, "n": 1, "missing": -1},
    ],
)  # fmt: skip
def test_numbers_that_no_table_can_hold_are_named(tmp_path, metric):
    """In scores and in attacks: a report reads no others."""
    scores = {"model": "m", "recipe": "r", "method": "GA", "target": "person", "percent": 5, "seed": 1}
    scores |= {"judge": "local", "metrics": {"retain": metric}, "details": {}, "digests": {}, "versions": {}}
    (tmp_path / "s.json").write_text(json.dumps(scores))
    field = next(name for name in reversed(metric) if name != "n" or metric["n"] != 1)
    with pytest.raises(RecordError, match=rf"s\.json is not a Scores \(metrics\.retain\.{field}: .*found"):
        read_json(tmp_path / "s.json", Scores)


TEXT = "Zoë\n"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (TEXT.encode("utf-8-sig"), None),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16 without a byte order mark"),
        ("Ada\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (f"Ada\n{TEXT}".encode("latin-1"), "byte 0xeb in line 2, as in Latin-1"),
    ],
)
def test_texts_of_others_are_utf8_or_their_encoding_is_named(tmp_path, data, found):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    if found is None:
        assert read_text(path) == TEXT
        return
    with pytest.raises(RecordError, match=rf"Asked .*a\.txt for text in UTF-8\. Found {found}.* as UTF-8\."):
        read_text(path)


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ADA), encoding="utf-8-sig")
    assert read_jsonl(tmp_path / "a.jsonl", Person) == [Person(**ADA)]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../a.png", "leads upwards"), ("b/../../a.png", "leads upwards"), ("..\\a.png", "leads upwards"),
        ("/etc/a.png", "is absolute"), ("C:\\a.png", "is absolute"), ("c:a.png", "is absolute"),
        ("\\\\host\\a.png", "is absolute"), ("b\\a.png", "has backslashes"), ("", "is no path"),
        (" ", "is no path"), ("a\0.png", "is no path"), ("link.png", "is a link out of it"),
        ("linked/a.png", "is a link out of it"), ("circle.png", "is a link out of it|cannot be followed"),
    ],
)  # fmt: skip
def test_a_path_out_of_its_folder_is_refused(tmp_path, name, problem):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "a.png").touch()
    (folder / "link.png").symlink_to(tmp_path / "a.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle.png").symlink_to("../folder/../circle.png")
    (tmp_path / "circle.png").symlink_to("folder/circle.png")
    with pytest.raises(RecordError, match=rf"Asked row 3 for a file below .*Found '.*', which ({problem})"):
        inside(folder, name, "row 3")


def test_a_path_below_its_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("a.png", "b/a.png", "./a.png", "..a.png", "a..png"):
        assert inside(tmp_path / "link", name, "row 3") == tmp_path / "link" / name


def test_an_error_while_writing_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_manifests_are_sorted_typed_and_byte_identical(tmp_path):
    rows = [candidate("b-e"), candidate("a-e", 1, identity_l2=0.25), candidate("a-e", 0, identity_l2=None)]
    write_manifest(tmp_path / "1.parquet", rows)
    write_manifest(tmp_path / "2.parquet", rows[::-1])
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    back = read_manifest(tmp_path / "1.parquet")
    assert back == [rows[2], rows[1], rows[0]]
    assert back[0].identity_l2 is None


def test_a_truncated_manifest_is_an_error_that_says_what_to_do(tmp_path):
    write_manifest(tmp_path / "m.parquet", [candidate("a-e")])
    whole = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"not an image manifest.*--forcerun merge_manifest"):
        read_manifest(tmp_path / "m.parquet")


def test_digests_do_not_depend_on_key_order():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
