"""Rows on disk: strict reading, atomic and reproducible writing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmunlearn.records import (
    Answer,
    Candidate,
    RecordError,
    atomic_path,
    digest_of,
    read_jsonl,
    read_manifest,
    write_jsonl,
    write_manifest,
)

ANSWER = Answer(question_id="q", image_id="i", question="Who?", reference="Ada", answer="Zoë 王")


def candidate(image: str, attempt: int = 0, **changes) -> Candidate:
    values = {
        "image_id": image, "person_id": "p0", "event_id": "e0", "attempt": attempt, "seed": 7,
        "guidance_scale": 3.5, "prompt": "A photo", "path": "x.png", "sha256": "0" * 64,
        "generator": "pocket-1", "identity_l2": None, "scene_cosine": 0.5, "subject_cosine": 0.9,
        "distortion": 60.0, "aesthetic": 7.0, "accepted": False, "reject_reason": "no face",
        "faces": 0, "scene_pair": None,
    }  # fmt: skip
    return Candidate(**(values | changes))


def test_jsonl_round_trip(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [ANSWER, ANSWER])
    assert read_jsonl(tmp_path / "a.jsonl", Answer) == [ANSWER, ANSWER]


@given(st.text(), st.text())
def test_any_text_survives_the_round_trip(said, reference):
    """Line separators of Unicode, too: a broken model may say them."""
    row = ANSWER.model_copy(update={"answer": said, "reference": reference})
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "a.jsonl", [row, ANSWER])
        assert read_jsonl(Path(folder) / "a.jsonl", Answer) == [row, ANSWER]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question_id": "q"', "line 2"),
        ('{"question_id": "q"}', "image_id"),
        (ANSWER.model_dump_json()[:-1] + ', "extra": 1}', "extra"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    path = tmp_path / "a.jsonl"
    path.write_text(ANSWER.model_dump_json() + "\n" + line + "\n")
    with pytest.raises(RecordError, match=said):
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
    rows = [candidate("b"), candidate("a", 1, identity_l2=0.25), candidate("a", 0)]
    write_manifest(tmp_path / "1.parquet", rows)
    write_manifest(tmp_path / "2.parquet", rows[::-1])
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    back = read_manifest(tmp_path / "1.parquet")
    assert back == [rows[2], rows[1], rows[0]]
    assert back[0].identity_l2 is None


def test_a_truncated_manifest_is_an_error_that_says_what_to_do(tmp_path):
    write_manifest(tmp_path / "m.parquet", [candidate("a")])
    whole = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match="Delete it and rerun"):
        read_manifest(tmp_path / "m.parquet")


def test_digests_do_not_depend_on_key_order():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
