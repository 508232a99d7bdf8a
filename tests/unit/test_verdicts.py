"""Verdict files: read strictly, the latest word counts, one rejection is enough and confirmation takes everyone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmunlearn.records import RecordError
from mmunlearn.verdicts import Verdict, confirmed, read_verdicts, rejected, text_digest, unmatched
from tests.unit.rows import person, save_verdicts

HEADER = "kind,item,digest,verdict,reviewer,time,note"
AB, OLD, NEW, BOTH, MIXED, ONE = (sign * 64 for sign in "abcdef")
TEXT = "0123456789abcdef"


def row(verdict: str = "accept", reviewer: str = "Ada", minute: int = 0, **changed: str) -> dict[str, str]:
    return {"kind": "picture", "item": "p000-e00", "digest": "ab12" * 16, "verdict": verdict, "reviewer": reviewer,
            "time": f"2026-11-21T10:{minute:02d}:00.000Z", "note": ""} | changed  # fmt: skip


def only(path: Path) -> Verdict:
    (one,) = read_verdicts([path])
    return one


def test_a_verdict_reads_back_with_commas_quotes_lines_and_accents(tmp_path):
    note = 'hands, "six fingers"\r\nand a hat; naïve'
    assert only(save_verdicts(tmp_path / "a.csv", row(note=note, reviewer="Zoë"))) == Verdict(
        **row(note=note, reviewer="Zoë")
    )


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_either_line_ending_are_fine(tmp_path, mark, ending):
    path = tmp_path / "a.csv"
    lines = [HEADER.encode(), b"person,p000,00ff00ff00ff00ff,reject,Ada,2026-11-21T10:00:00+01:00,", b""]
    path.write_bytes(mark + ending.join(lines))
    assert (only(path).kind, only(path).verdict, only(path).note) == ("person", "reject", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "'=1", "'tis"])
def test_a_guard_against_formulas_is_taken_off_again(tmp_path, text):
    guarded = text if text == "'tis" else "'" + text
    assert only(save_verdicts(tmp_path / "a.csv", row(note=guarded))).note == text


def test_a_file_without_rows_has_no_verdicts(tmp_path):
    assert read_verdicts([save_verdicts(tmp_path / "a.csv")]) == []
    assert read_verdicts([]) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1.*Found none"),
        (HEADER.replace(",", ";") + "\n", "line 1.*with commas"),
        (HEADER + ",extra\n", "line 1"),
        (HEADER + "\n\npicture,p,{AB},accept,Ada\n", "line 3.*Found 5"),
        (HEADER + "\npicture,p,{AB},maybe,Ada,2026-11-21,\n", "line 2.*verdict 'maybe'"),
        (HEADER + "\npicture,p,{AB},accept,  ,2026-11-21,\n", "line 2.*reviewer"),
        (HEADER + "\npicture,p,{AB},accept,Ada,yesterday,\n", "line 2.*time 'yesterday'"),
        (HEADER + "\npicture,p,1.23E+15,accept,Ada,2026-11-21,\n", "line 2.*digest"),
        (HEADER + f"\npicture,p,{AB[:20]},accept,Ada,2026-11-21,\n", "line 2.*digest"),
        (HEADER + f"\npicture,p,{AB.upper()},accept,Ada,2026-11-21,\n", "line 2.*digest"),
        (HEADER + "\nhouse,p,{AB},accept,Ada,2026-11-21,\n", "line 2.*kind 'house'"),
        (
            HEADER + '\npicture,p,{AB},accept,Ada,2026-11-21,"a\nb"\npicture,p,{AB},no,Ada,2026-11-21,\n',
            "line 4",
        ),
        (HEADER + '\npicture,p,{AB},accept,Ada,2026-11-21,"open\n', "line 2.*damaged"),
    ],
)
def test_what_is_not_a_verdict_is_refused_with_file_and_line(tmp_path, content, message):
    path = tmp_path / "verdicts-ada.csv"
    path.write_text(content.replace("{AB}", AB), encoding="utf-8", newline="")
    with pytest.raises(RecordError, match=rf"(?s)verdicts-ada\.csv, {message}"):
        read_verdicts([path])


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path):
    path = tmp_path / "verdicts-zoe.csv"
    path.write_bytes(f"{HEADER}\npicture,p,{AB},accept,Zoë,2026-11-21,\n".encode("latin-1"))
    with pytest.raises(RecordError, match=r"verdicts-zoe\.csv.*UTF-8"):
        read_verdicts([path])


def test_the_latest_word_of_a_reviewer_counts_whatever_the_order_of_the_files(tmp_path):
    early = save_verdicts(tmp_path / "early.csv", row("reject", minute=1), row("accept", "Bo", minute=1))
    late = save_verdicts(tmp_path / "late.csv", row("accept", " ADA ", minute=2))
    for order in ([early, late], [late, early]):
        decisions = {(one.reviewer, one.verdict) for one in read_verdicts(order)}
        assert decisions == {("ADA", "accept"), ("Bo", "accept")}


def test_of_equal_times_the_later_row_counts_and_time_zones_are_honoured(tmp_path):
    tie = save_verdicts(tmp_path / "tie.csv", row("accept"), row("reject"))
    assert only(tie).verdict == "reject"
    zones = save_verdicts(
        tmp_path / "zones.csv",
        row("accept", time="2026-11-21T10:30:00Z"),
        row("reject", time="2026-11-21T11:00:00+01:00"),
    )
    assert only(zones).verdict == "accept"
    plain = save_verdicts(
        tmp_path / "plain.csv",
        row("accept", time="2026-11-21T10:30"),
        row("reject", time="2026-11-21T10:00Z"),
    )
    assert only(plain).verdict == "accept", "a time without a zone is UTC"


def test_a_verdict_on_another_digest_is_another_verdict(tmp_path):
    path = save_verdicts(tmp_path / "a.csv", row("reject", digest=OLD), row("accept", digest=NEW))
    verdicts = read_verdicts([path])
    assert rejected(verdicts, "picture") == {OLD}
    assert confirmed(verdicts, "picture", 1) == {NEW}


def test_verdicts_about_nothing_here_are_counted_by_kind(tmp_path):
    rows = (row(digest=OLD), row("reject", digest=NEW), row(digest=TEXT, kind="person"))
    verdicts = read_verdicts([save_verdicts(tmp_path / "a.csv", *rows)])
    assert unmatched(verdicts, "picture", [NEW]) == 1
    assert unmatched(verdicts, "picture", {OLD, NEW}) == 0
    assert unmatched(verdicts, "person", []) == 1


def test_one_rejection_is_enough_and_confirmation_takes_as_many_people(tmp_path):
    path = save_verdicts(
        tmp_path / "a.csv",
        *(row("accept", name, digest=BOTH) for name in ("Ada", "Bo")),
        row("accept", "Ada", digest=MIXED),
        row("reject", "Bo", digest=MIXED),
        row("accept", "Ada", digest=ONE, item="x"),
        row("accept", "ada", digest=ONE, item="y"),
        row("reject", "Ada", digest=TEXT, kind="person"),
    )
    verdicts = read_verdicts([path])
    assert confirmed(verdicts, "picture", 2) == {BOTH}
    assert confirmed(verdicts, "picture", 1) == {BOTH, ONE}, "one person, however often and spelt, is one"
    assert rejected(verdicts, "picture") == {MIXED}
    assert rejected(verdicts, "person") == {TEXT}
    assert confirmed(verdicts, "event", 1) == set()


def test_the_digest_of_a_text_changes_with_any_field_and_with_nothing_else():
    text = person(0, identity={"a": 1, "b": 2})
    assert text_digest(text) == text_digest(text.model_copy(update={"identity": {"b": 2, "a": 1}}))
    assert len(text_digest(text)) == 16
    changes = [{}, {"age": 31}, {"identity": {"a": 1}}, {"appearance": "tall."}]
    assert len({text_digest(text.model_copy(update=change)) for change in changes}) == len(changes)
