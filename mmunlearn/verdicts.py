"""Reviewers' verdicts on pictures and texts: one CSV row each, as the review pages save it.

A verdict names what it is about by id and by digest, so that it says nothing of a picture drawn anew or of a text
that was edited. PEBench, section III-B: a picture is valid only after all reviewers have confirmed it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints, ValidationError

from mmunlearn.escape import unguard
from mmunlearn.files import read_csv
from mmunlearn.records import Record, RecordError, digest_of

Kind = Literal["picture", "sample", "person", "event"]


def _iso(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class Verdict(Record):
    """One reviewer's decision on one item.

    `item` is an image id, `<image_id>-a<attempt, two digits>` of a sample, a person id or an event id; `digest` the
    SHA-256 of the picture or the `text_digest` of the row; `time` is ISO 8601, read as UTC where it has no zone.
    """

    kind: Kind
    item: Annotated[str, StringConstraints(min_length=1)]
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}([0-9a-f]{48})?$")]
    verdict: Literal["accept", "reject"]
    reviewer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    time: Annotated[str, AfterValidator(_iso)]
    note: str = ""


COLUMNS = tuple(Verdict.model_fields)


def verdict_files(folder: str | None) -> list[str]:
    """The reviewers' CSV files of a folder (.csv, .CSV), sorted; none where there is no folder."""
    files = Path(folder).iterdir() if folder and Path(folder).is_dir() else ()
    return sorted(path.as_posix() for path in files if path.suffix.lower() == ".csv" and path.is_file())


def text_digest(row: Record) -> str:
    """Digest of a person or an event: another one after any change of its fields."""
    return digest_of(row.model_dump(mode="json"))


def reviewer_key(name: str) -> str:
    """What two spellings of one reviewer's name share: case, accents and spaces do not count; as `fold` in
    review_store.js.j2 has it."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(plain.casefold().split())


def read_verdicts(paths: Iterable[Path]) -> list[Verdict]:
    """Read CSV files (RFC 4180, UTF-8 with or without a byte order mark) of verdicts.

    Of several verdicts of one reviewer on one (kind, item, digest) the latest counts; of equal times the later row.

    Raises:
        RecordError: a file has another header, or a row is not a verdict; names the file and the line.
    """
    latest: dict[tuple[str, ...], Verdict] = {}
    for path in paths:
        for row in _read(Path(path)):
            key = (row.kind, row.item, row.digest, reviewer_key(row.reviewer))
            if key not in latest or _moment(row) >= _moment(latest[key]):
                latest[key] = row
    return list(latest.values())


def rejections(verdicts: Iterable[Verdict], kind: Kind) -> list[str]:
    """Digests that anyone rejects, in the order in which each was rejected first."""
    first: dict[str, datetime] = {}
    for one in verdicts:
        if one.kind == kind and one.verdict == "reject":
            first[one.digest] = min(_moment(one), first.get(one.digest, _moment(one)))
    return sorted(first, key=lambda digest: (first[digest], digest))


def rejected(verdicts: Iterable[Verdict], kind: Kind) -> set[str]:
    """Digests that anyone rejects, of verdicts as `read_verdicts` gives them."""
    return {one.digest for one in verdicts if one.kind == kind and one.verdict == "reject"}


def confirmed(verdicts: Collection[Verdict], kind: Kind, reviewers: int) -> set[str]:
    """Digests that at least `reviewers` different people accept and nobody rejects."""
    accepting: dict[str, set[str]] = {}
    for one in verdicts:
        if one.kind == kind and one.verdict == "accept":
            accepting.setdefault(one.digest, set()).add(reviewer_key(one.reviewer))
    enough = {digest for digest, people in accepting.items() if len(people) >= reviewers}
    return enough - rejected(verdicts, kind)


def unmatched(verdicts: Iterable[Verdict], kind: Kind, digests: Collection[str]) -> int:
    """How many verdicts of a kind are about none of these digests, so that they say nothing here."""
    digests = set(digests)
    return sum(one.kind == kind and one.digest not in digests for one in verdicts)


def _moment(row: Verdict) -> datetime:
    moment = datetime.fromisoformat(row.time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(path: Path) -> list[Verdict]:
    rows = read_csv(path)
    header = rows[0][1] if rows else []
    if tuple(header) != COLUMNS:
        raise RecordError(
            f"Asked {path}, line 1, for the columns {','.join(COLUMNS)}. Found {','.join(header) or 'none'}. "
            "Save the verdicts from the review page again, with commas between the columns."
        )
    return [_parse(cells, f"{path}, line {line}") for line, cells in rows[1:]]


def _parse(cells: list[str], where: str) -> Verdict:
    if len(cells) != len(COLUMNS):
        raise RecordError(f"Asked {where}, for {len(COLUMNS)} columns. Found {len(cells)}. Save them again.")
    plain = list(map(unguard, cells))
    try:
        return Verdict(**dict(zip(COLUMNS, plain, strict=True)))
    except ValidationError as error:
        problems = "; ".join(f"{e['loc'][0]} {e['input']!r}: {e['msg']}" for e in error.errors()[:3])
        raise RecordError(
            f"Asked {where}, for a verdict. Found {problems}. Correct the row, or save the verdicts again."
        ) from error
