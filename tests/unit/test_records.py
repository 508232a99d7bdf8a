"""Rows on disk: strict reading, atomic and reproducible writing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.records import (
    Answer,
    RecordError,
    atomic_path,
    digest_of,
    read_jsonl,
    read_manifest,
    write_jsonl,
    write_manifest,
)
from tests.unit.rows import candidate

ANSWER = Answer(question_id="q", image_id="i", question="Who?", reference="Ada", answer="Zoë 王")


def test_jsonl_round_trip(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [ANSWER, ANSWER])
    assert read_jsonl(tmp_path / "a.jsonl", Answer) == [ANSWER, ANSWER]


@given(st.text(), st.text())
def test_any_text_survives_the_round_trip(answer, reference):
    """Line separators of Unicode, too: a broken model may say them."""
    row = ANSWER.model_copy(update={"answer": answer, "reference": reference})
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "a.jsonl", [row, ANSWER])
        assert read_jsonl(Path(folder) / "a.jsonl", Answer) == [row, ANSWER]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question_id": "q"', "line 2"),
        ('{"question_id": "q"}', "image_id"),
        (ANSWER.model_dump_json()[:-1] + ', "extra": 1}', "extra"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(ANSWER.model_dump_json() + "\n" + line + "\n")
    with pytest.raises(RecordError, match=message):
        read_jsonl(path, Answer)


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
    with pytest.raises(RecordError, match="Delete it and rerun"):
        read_manifest(tmp_path / "m.parquet")


def test_digests_do_not_depend_on_key_order():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
